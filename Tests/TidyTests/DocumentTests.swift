// Documents against the tree: links lead somewhere, named make targets and scripts exist, recipes
// are plain JSON.
import Foundation
import TestSupport
import Testing

@Suite struct DocumentTests {
  @Test func linksLeadSomewhere() throws {
    let violations = try SourceTree.documents().flatMap { file in
      let folder = file.path.split(separator: "/").dropLast().joined(separator: "/")
      return file.lines.enumerated().flatMap { line in
        line.element.matches(of: /\]\(([^)\s#]+)(?:#[^)]*)?\)/)
          .map { String($0.output.1) }
          .filter { !$0.contains("://") && !$0.hasPrefix("mailto:") }
          .filter { !SourceTree.exists(folder.isEmpty ? $0 : folder + "/" + $0) }
          .map { "\(file.path):\(line.offset + 1): no \($0)" }
      }
    }
    expectNone(violations)
  }

  @Test func makeTargetsExist() throws {
    let targets = Set(
      try SourceTree.file("Makefile").text.matches(of: /(?m)^([a-z][a-z-]*):/)
        .map { String($0.output.1) })
    #expect(targets.isSuperset(of: ["quickstart", "test", "check"]))
    let violations = try SourceTree.documents().flatMap { file in
      file.lines.enumerated().flatMap { line in
        line.element.matches(of: /(?:`|^\s*)make ([a-z][a-z-]*)/)
          .map { String($0.output.1) }
          .filter { !targets.contains($0) }
          .map { "\(file.path):\(line.offset + 1): no target \($0)" }
      }
    }
    expectNone(violations)
  }

  @Test func namedFilesExist() throws {
    let violations = try SourceTree.documents().filter { $0.path != "CHANGELOG.md" }
      .flatMap { file in
        file.lines.enumerated().flatMap { line in
          line.element.matches(of: /`((?:Scripts|Recipes|Docs|Datasets)\/[\w.\/-]+)`/)
            .map { String($0.output.1) }
            .filter { !SourceTree.exists($0) }
            .map { "\(file.path):\(line.offset + 1): no \($0)" }
        }
      }
    expectNone(violations)
  }

  @Test func recipesAreJSON() throws {
    let recipes = try SourceTree.files(under: ["Recipes"], ["json"])
    #expect(!recipes.isEmpty)
    for recipe in recipes {
      #expect(throws: Never.self, "\(recipe.path)") {
        try JSONSerialization.jsonObject(with: Data(recipe.text.utf8))
      }
    }
  }

  @Test func theReadmeStartsWithTheTwoCommands() throws {
    let lines = try SourceTree.file("README.md").lines
    let quickstart = try #require(lines.firstIndex { $0.contains("make quickstart") })
    let test = try #require(lines.firstIndex { $0.contains("make test") })
    #expect(quickstart <= 5 && test <= 6)
  }
}
