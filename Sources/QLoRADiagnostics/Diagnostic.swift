// The one error type of the project: what went wrong, where, why, and what to do about it.
// It knows nothing of terminals; `qlora` prints it and turns it into an exit code.

/// The process exit code that a class of failures leads to (Docs/CommandLine.md lists them).
public enum ExitCode: Int32, Sendable, CaseIterable {
  case success = 0
  case usage = 64
  case badData = 65
  case inputMissing = 66
  case network = 69
  case internalError = 70
  case outputExists = 73
  case inputOutput = 74
  case stoppedResumable = 75
  case permission = 77
  case resumeRefused = 78
  case diverged = 80
  case wouldNotFit = 81
}

/// A stable identity for one kind of failure, which `qlora explain` describes.
///
/// Modules declare theirs as static members in an extension. Number ranges: E01xx recipe,
/// E02xx file formats, E03xx text, E04xx data rows, E05xx models and adapters, E06xx training,
/// E07xx runs and files, E08xx backends, E09xx command line, hub.
public struct DiagnosticCode: Sendable, Hashable {
  /// Such as `E0102`.
  public let number: String
  public let exitCode: ExitCode
  /// One or two paragraphs for `qlora explain`: the cause and the usual remedy.
  public let explanation: String

  public init(_ number: String, _ exitCode: ExitCode, _ explanation: String) {
    self.number = number
    self.exitCode = exitCode
    self.explanation = explanation
  }

  public static func == (left: Self, right: Self) -> Bool { left.number == right.number }
  public func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

/// Where a failure was found, as exactly as the finder knows.
public enum DiagnosticLocation: Sendable, Equatable {
  case file(String)
  case position(file: String, line: Int, column: Int)
  case byteOffset(file: String, offset: Int)
  case tensor(file: String, name: String)
  case row(file: String, row: Int)
}

extension DiagnosticLocation: CustomStringConvertible {
  public var description: String {
    switch self {
    case .file(let file): file
    case .position(let file, let line, let column): "\(file):\(line):\(column)"
    case .byteOffset(let file, let offset): "\(file): byte \(offset)"
    case .tensor(let file, let name): "\(file): tensor \"\(name)\""
    case .row(let file, let row): "\(file): row \(row)"
    }
  }
}

/// One failure, ready to be shown: `where: error[E0102]: what; remedy`.
public struct Diagnostic: Error, Sendable, Equatable {
  public let code: DiagnosticCode
  /// What is wrong: the thing, what was expected, what was found.
  public let message: String
  public let location: DiagnosticLocation?
  /// What to do, as a command or an edit, where there is one.
  public let remedy: String?

  public init(
    _ code: DiagnosticCode, _ message: String, at location: DiagnosticLocation? = nil,
    remedy: String? = nil
  ) {
    self.code = code
    self.message = message
    self.location = location
    self.remedy = remedy
  }
}

extension Diagnostic: CustomStringConvertible {
  public var description: String {
    let place = location.map { "\($0): " } ?? ""
    let remedyText = remedy.map { "; \($0)" } ?? ""
    return "\(place)error[\(code.number)]: \(message)\(remedyText)"
  }
}

/// An error of another kind that says how a user meets it.
package protocol DiagnosableError: Error {
  var diagnostic: Diagnostic { get }
}

/// Several failures found in one go, such as all the errors of a recipe.
public struct Diagnostics: Error, Sendable, CustomStringConvertible {
  public let all: [Diagnostic]

  public init(_ all: [Diagnostic]) { self.all = all }

  public var description: String { all.map(\.description).joined(separator: "\n") }
}
