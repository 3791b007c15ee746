// Limits of size: lines, functions, files. What may exceed them stands here with its reason.
import Testing

@Suite struct SizeTests {
  static let longestLine = 100
  static let longestFunction = 70
  static let longestFile = 500
  static let longestMedianFile = 150

  /// Files that may be longer than `longestFile`: tables and what was generated.
  static let longFiles: [String: String] = [:]

  /// `path: function` that may be longer than `longestFunction`, each for a reason.
  static let longFunctions: [String: String] = [:]

  @Test func linesAreShort() throws {
    let files =
      try SourceTree.swift("Sources", "Tests") + SourceTree.native() + SourceTree.scripts()
      + [SourceTree.file("Package.swift")]
    let violations = files.flatMap { file in
      file.lines.enumerated().filter { $0.element.count > Self.longestLine }.map {
        "\(file.path):\($0.offset + 1): \($0.element.count) columns, at most \(Self.longestLine)"
      }
    }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func linesEndWithoutSpaces() throws {
    let files =
      try SourceTree.swift("Sources", "Tests") + SourceTree.native() + SourceTree.scripts()
    let violations = files.flatMap { $0.matches(/\s$/, in: $0.text) }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func functionsAreShort() throws {
    let swift = try SourceTree.swift("Sources", "Tests").map {
      ($0, FunctionLengths.swift($0.code))
    }
    let native = try SourceTree.native().map { ($0, FunctionLengths.c($0.code)) }
    let violations = (swift + native).flatMap { file, functions in
      functions
        .filter { $0.lines > Self.longestFunction }
        .filter { Self.longFunctions["\(file.path): \($0.name)"] == nil }
        .map { "\(file.path):\($0.line): \($0.name) has \($0.lines) lines" }
    }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func filesAreShort() throws {
    let files =
      try SourceTree.swift("Sources", "Tests") + SourceTree.native() + SourceTree.scripts()
    let violations =
      files
      .filter { $0.lineCount > Self.longestFile && Self.longFiles[$0.path] == nil }
      .map { "\($0.path):1: \($0.lineCount) lines, at most \(Self.longestFile)" }
    #expect(violations.isEmpty, "\(report(violations))")
  }

  @Test func theMedianFileIsShort() throws {
    let lengths = try (SourceTree.swift("Sources") + SourceTree.native()).map(\.lineCount).sorted()
    #expect(lengths[lengths.count / 2] <= Self.longestMedianFile)
  }

  @Test func exceptionsAreStillNeeded() throws {
    let violations = Self.longFiles.keys.filter { !SourceTree.exists($0) }
    #expect(violations.isEmpty, "\(report(violations))")
  }
}
