// YAML that is wrong or meant to hurt ends in a message within bounds.
import QLoRADiagnostics
import QLoRAImport
import TestSupport
import Testing

@Suite struct HostileYAMLTests {
  private func code(_ text: String) -> String? {
    code(Array(text.utf8))
  }

  private func code(_ bytes: [UInt8]) -> String? {
    do {
      _ = try ImportedRecipe(bytes: bytes, file: "c.yml", from: .axolotl)
      return nil
    } catch {
      return (error as? Diagnostic)?.code.number ?? "\(error)"
    }
  }

  @Test(arguments: [
    ("a: [1", "E0120"), ("a: 1\na: 2", "E0120"), ("a: b: c", "E0120"), ("a: *b", "E0120"),
    ("--- 1\n--- 2", "E0120"), ("\t- a", "E0120"), ("a: \"\\x\"", "E0120"),
  ])
  func wrongYAML(text: String, expected: String) {
    #expect(code(text) == expected)
  }

  @Test func placesAreNamed() throws {
    let problem = try #require(throws: Diagnostic.self) {
      try ImportedRecipe(bytes: Array("a: 1\nb: [\n".utf8), file: "c.yml")
    }
    #expect(problem.description.hasPrefix("c.yml:3:1: error[E0120]: not YAML: "))
  }

  /// A hundred aliases would be ten to the tenth values.
  @Test func multiplication() {
    let levels = (1...10).map { level in
      "l\(level): &l\(level) ["
        + Array(repeating: "*l\(level - 1)", count: 10)
        .joined(separator: ", ") + "]"
    }
    #expect(code("l0: &l0 [x, x]\n" + levels.joined(separator: "\n")) == "E0121")
    // As many as are allowed, in the worst arrangement, as values and as a key.
    let few = (1...8).map { "l\($0): &l\($0) [*l\($0 - 1), *l\($0 - 1)]" }
    #expect(code("l0: &l0 [x, x]\n" + few.joined(separator: "\n")) == nil)
    let keyed = (1...7).map { "l\($0): &l\($0) [*l\($0 - 1), *l\($0 - 1)]" }
    #expect(code("l0: &l0 [x]\n" + keyed.joined(separator: "\n") + "\n? *l7\n: 1") == nil)
  }

  @Test func depthAndSize() {
    #expect(code(String(repeating: "[", count: 100_000)) == "E0120")
    let deep = String(repeating: "[", count: 40) + String(repeating: "]", count: 40)
    #expect(code("a: " + deep) == "E0121")
    #expect(code("# " + String(repeating: "x", count: 1 << 20)) == "E0121")
    let wide = "a: [" + Array(repeating: "1", count: 200_000).joined(separator: ",") + "]"
    #expect(code(wide) == "E0121")
    #expect(code([0x61, 0x3A, 0xFF]) == "E0120")
  }

  /// Merged mappings lose against what is said outright.
  @Test func anchorsMerge() throws {
    let imported = try ImportedRecipe(
      bytes: Array("x: &x {lora_r: 4, lora_alpha: 9}\n<<: *x\nlora_r: 8\nbase_model: m".utf8),
      file: "c.yml")
    #expect(imported.recipe["adapter"]?["rank"]?.intValue == 8)
    #expect(imported.recipe["adapter"]?["alpha"]?.intValue == 9)
  }

  /// Damaged configurations never do more than be refused.
  @Test func damage() {
    var generator = SeededGenerator(seed: 5)
    let whole = Array(ImportTests.axolotl.utf8)
    for _ in 0..<400 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        let index = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes.remove(at: index)
        case 1: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: index)
        default: bytes[index] = "[]{}:,-*&?|>'\"#%@`\n ~".utf8.randomElement(using: &generator) ?? 0
        }
      }
      let found = code(bytes)
      #expect(found == nil || found == "E0120" || found == "E0121", "\(found ?? "")")
    }
  }
}
