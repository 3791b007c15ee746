// Limits of size: lines, functions, files. What may exceed them stands here with its reason.
import Testing

@Suite struct SizeTests {
  static let longestLine = 100
  static let longestFunction = 70
  static let longestFile = 500
  static let longestMedianFile = 150

  /// Files that may be longer than `longestFile`: tables and what was generated.
  static let longFiles: [String: String] = [
    "Scripts/goldens/make_template_goldens.py": "chat templates in the style of models' own"
  ]

  /// Files that may have longer lines than `longestLine`: templates that are one line by nature.
  static let wideFiles: [String: String] = [
    "Scripts/goldens/make_template_goldens.py": "chat templates as models ship them"
  ]

  /// `path: function` that may be longer than `longestFunction`, each for a reason.
  static let longFunctions: [String: String] = [:]

  /// Characters are slow to count, and never more than bytes.
  private func isTooLong(_ line: Substring) -> Bool {
    line.utf8.count > Self.longestLine && line.count > Self.longestLine
  }

  @Test func linesAreShort() throws {
    let files =
      try SourceTree.swift() + SourceTree.native() + SourceTree.scripts()
      + [SourceTree.file("Package.swift")]
    let violations = files.filter { Self.wideFiles[$0.path] == nil }.flatMap { file in
      file.lines.enumerated().filter { isTooLong($0.element) }.map {
        "\(file.path):\($0.offset + 1): \($0.element.count) columns, at most \(Self.longestLine)"
      }
    }
    expectNone(violations)
  }

  @Test func linesEndWithoutSpaces() throws {
    let files =
      try SourceTree.swift() + SourceTree.native() + SourceTree.scripts()
    let violations = files.flatMap { file in
      file.lines.enumerated().filter { $0.element.last?.isWhitespace == true }.map {
        "\(file.path):\($0.offset + 1): \($0.element)"
      }
    }
    expectNone(violations)
  }

  @Test func functionsAreShort() throws {
    let swift = try SourceTree.swift().map {
      ($0, FunctionLengths.swift($0.code))
    }
    let native = try SourceTree.native().map { ($0, FunctionLengths.c($0.code)) }
    let violations = (swift + native).flatMap { file, functions in
      functions
        .filter { $0.lines > Self.longestFunction }
        .filter { Self.longFunctions["\(file.path): \($0.name)"] == nil }
        .map { "\(file.path):\($0.line): \($0.name) has \($0.lines) lines" }
    }
    expectNone(violations)
  }

  @Test func filesAreShort() throws {
    let files =
      try SourceTree.swift() + SourceTree.native() + SourceTree.scripts()
    let violations =
      files
      .filter { $0.lineCount > Self.longestFile && Self.longFiles[$0.path] == nil }
      .map { "\($0.path):1: \($0.lineCount) lines, at most \(Self.longestFile)" }
    expectNone(violations)
  }

  @Test func theMedianFileIsShort() throws {
    let lengths = try (SourceTree.swiftSources() + SourceTree.native()).map(\.lineCount).sorted()
    #expect(lengths[lengths.count / 2] <= Self.longestMedianFile)
  }

  @Test func exceptionsAreStillNeeded() throws {
    let unneeded = try Self.longFiles.keys.filter {
      try SourceTree.file($0).lineCount <= Self.longestFile
    }
    expectNone(unneeded)
    let narrow = try Self.wideFiles.keys.filter {
      try !SourceTree.file($0).lines.contains(where: isTooLong)
    }
    expectNone(narrow)
  }
}
