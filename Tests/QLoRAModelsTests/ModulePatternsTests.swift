// What names of modules may be matched by, and what becomes of expressions without an end.
import QLoRADiagnostics
import QLoRAModels
import Testing

@Suite struct ModulePatternsTests {
  private let module = "model.layers.0.self_attn.q_proj"

  @Test(arguments: [
    ("q_proj", true), ("self_attn.q_proj", true), ("proj", false), ("_proj", false),
    ("model.layers.0.self_attn.q_proj", true), (".*attn.*", true), ("q_proj|k_proj", false),
    (".*(q_proj|k_proj)", true), ("attn", false),
  ])
  func matches(_ pattern: String, _ expected: Bool) throws {
    #expect(try ModulePatterns([pattern]).matches(module) == expected)
  }

  @Test func namesTheEntriesThatMatchNothing() throws {
    let patterns = try ModulePatterns(["q_proj", "qproj", ".*norm", ".*attn.*"])
    #expect(try patterns.unmatched(among: [module]) == ["qproj", ".*norm"])
  }

  @Test(arguments: ["(", "[a"])
  func refusesWhatIsNoExpression(_ pattern: String) {
    let failure = #expect(throws: Diagnostic.self) { try ModulePatterns(["q_proj", pattern]) }
    #expect(failure?.code == .badModulePattern && failure?.message.contains(pattern) == true)
  }

  @Test func givesUpOnWhatHasNoEnd() throws {
    let endless = try ModulePatterns(["(([a-z]+)*[.])+!"])
    let failure = #expect(throws: Diagnostic.self) {
      try endless.matches(String(repeating: "model.layers.", count: 12) + "q_proj")
    }
    #expect(failure?.code == .badModulePattern)
    #expect(failure?.message.contains("without end") == true)
  }
}
