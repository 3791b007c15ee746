// Docs/Recipes.md has a row for every key with the right default, and a row for every code.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRARecipe
import TestSupport
import Testing

@Suite struct DocumentationTests {
  private func rows() throws -> [String] {
    let page = Goldens.repository.appending(path: "Docs/Recipes.md")
    return try String(contentsOf: page, encoding: .utf8).split(separator: "\n").map(String.init)
  }

  @Test func everyKeyHasItsRowAndDefault() throws {
    let rows = try rows()
    for (path, schema) in FieldSchema.recipe.flattened() {
      if schema.type == .section || path.hasPrefix("data.validation.") { continue }
      let name = path.replacingOccurrences(of: "data.train.", with: "data.train.N.")
      let row = try #require(rows.first { $0.hasPrefix("| `\(name)` |") }, "\(name)")
      #expect(row.contains(schema.documentation), "\(name)")
      if schema.isRequired {
        #expect(row.contains("**required**"), "\(name)")
      } else if let value = schema.defaultValue, value != .string("") {
        #expect(row.contains("| `\(JSONWriter.text(value))` |"), "\(name)")
      }
    }
  }

  @Test func everyCodeHasItsRowAndExitCode() throws {
    let rows = try rows()
    for code in DiagnosticCode.allRecipeCodes {
      let row = try #require(rows.first { $0.hasPrefix("| \(code.number) |") })
      #expect(row.hasSuffix("| \(code.exitCode.rawValue) |"))
    }
  }
}
