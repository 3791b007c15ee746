// The text files of the checkout as the tidy tests read them; no rule is stated here.
import Foundation
import TestSupport
import Testing

/// One text file: its path in the checkout and its lines.
struct SourceFile: Sendable {
  let path: String
  let text: String
  /// The text with comments and string literals blanked in place; only of Swift and C.
  let code: String

  init(path: String, text: String) {
    self.path = path
    self.text = text
    let isCode = ["swift", "c", "h"].contains(URL(filePath: path).pathExtension)
    code = isCode ? String(decoding: CodeMask.mask(Array(text.utf8)), as: UTF8.self) : ""
  }

  var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }

  /// Lines as an editor counts them: a final newline starts none.
  var lineCount: Int { text.utf8.count { $0 == UInt8(ascii: "\n") } }

  /// The module that a file of `Sources` or `Tests` belongs to.
  var target: String? {
    let parts = path.split(separator: "/")
    guard parts.count > 2, parts[0] == "Sources" || parts[0] == "Tests" else { return nil }
    return String(parts[1])
  }

  /// `path:line: line` for every line of `text` that holds a match of `pattern`. Every match holds
  /// one of `words`: looking for them first is much faster.
  func matches(_ pattern: Regex<Substring>, with words: [String], in text: String) -> [String] {
    guard words.contains(where: text.contains) else { return [] }
    return text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
      .filter { line in words.contains { line.element.contains($0) } }
      .filter { $0.element.firstMatch(of: pattern) != nil }
      .map { "\(path):\($0.offset + 1): \($0.element.trimmingCharacters(in: .whitespaces))" }
  }
}

enum SourceTree {
  /// Files under `folders` with one of `extensions`, in order of their paths.
  static func files(under folders: [String], _ extensions: Set<String>) throws -> [SourceFile] {
    try folders.flatMap { folder in
      let root = Goldens.repository.appending(path: folder)
      let names = FileManager.default.enumerator(atPath: root.path(percentEncoded: false))
      return try (names?.compactMap { $0 as? String } ?? [])
        .filter { name in
          extensions.contains(URL(filePath: name).pathExtension)
            && !name.split(separator: "/").contains { $0.hasPrefix(".") }
        }
        .sorted()
        .map { try file(folder + "/" + $0) }
    }
  }

  static func file(_ path: String) throws -> SourceFile {
    let url = Goldens.repository.appending(path: path)
    return SourceFile(path: path, text: try String(contentsOf: url, encoding: .utf8))
  }

  static func exists(_ path: String) -> Bool {
    FileManager.default.fileExists(
      atPath: Goldens.repository.appending(path: path).path(percentEncoded: false))
  }

  private static let sources = Result { try files(under: ["Sources"], ["swift"]) }
  private static let tests = Result { try files(under: ["Tests"], ["swift"]) }
  private static let nativeSources = Result { try files(under: ["Sources"], ["c", "h"]) }

  /// Swift files of the libraries and executables.
  static func swiftSources() throws -> [SourceFile] { try sources.get() }
  /// All Swift files but the manifest.
  static func swift() throws -> [SourceFile] { try sources.get() + tests.get() }
  static func native() throws -> [SourceFile] { try nativeSources.get() }

  static func scripts() throws -> [SourceFile] {
    try files(under: ["Scripts"], ["sh", "py"]) + [file("Makefile"), file(".ci/run")]
  }

  static func documents() throws -> [SourceFile] {
    try files(under: ["Docs"], ["md"])
      + ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(file)
  }
}

/// Fails with one violation per line, so that it reads like a compiler's output.
func expectNone(_ violations: [String], sourceLocation: SourceLocation = #_sourceLocation) {
  if violations.isEmpty { return }
  let list = violations.joined(separator: "\n")
  Issue.record("\(violations.count) violations\n\(list)", sourceLocation: sourceLocation)
}
