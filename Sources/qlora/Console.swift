// The two streams: stdout carries data, stderr everything that is said to a person.
import QLoRADiagnostics
import QLoRAJSON

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

enum Console {
  static func output(_ text: String) { send(text + "\n", to: STDOUT_FILENO) }

  /// Text without a newline, for pieces of a growing answer.
  static func outputPart(_ text: String) { send(text, to: STDOUT_FILENO) }

  /// One object on a line of its own.
  static func output(json value: JSONValue) { output(JSONWriter.text(value)) }

  static func error(_ text: String) { send(text + "\n", to: STDERR_FILENO) }

  static func errorPart(_ text: String) { send(text, to: STDERR_FILENO) }

  /// Whether stderr is a terminal on which lines can be redrawn and coloured.
  static let stderrIsTerminal = isTerminal(STDERR_FILENO)
  static let stdoutIsTerminal = isTerminal(STDOUT_FILENO)

  /// The diagnostic's text, with its `error[…]` in red on a terminal.
  static func colored(_ diagnostic: Diagnostic) -> String {
    let mark = "error[\(diagnostic.code.number)]"
    let text = diagnostic.description
    guard stderrIsTerminal, wantsColor, let range = text.firstRange(of: mark) else { return text }
    return "\(text[..<range.lowerBound])\u{1B}[1;31m\(mark)\u{1B}[0m\(text[range.upperBound...])"
  }

  static let wantsColor: Bool = {
    let environment = ProcessInfo.processInfo.environment
    return (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }()

  private static func isTerminal(_ descriptor: Int32) -> Bool {
    isatty(descriptor) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  }

  /// Writes everything; a reader that has gone away is not our failure.
  private static func send(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else { return }
      bytes = bytes.dropFirst(written)
    }
  }
}
