// Whole matches as Python's `re.fullmatch` makes them, and the end of endless ones.
import QLoRARegex
import Testing

@Suite struct RegularExpressionTests {
  /// What Python 3.11's `re.fullmatch(pattern, text) is not None` says.
  static let answers: [(pattern: String, text: String, matches: Bool)] = [
    ("a|ab", "ab", true),
    ("a|ab", "abc", false),
    (".*?", "abc", true),
    ("a*", "", true),
    ("", "", true),
    ("", "a", false),
    ("a", "a\n", false),
    ("a$", "a\n", false),
    (#"model\.layers\.(?:[0-9]|1[0-5])\..*_proj"#, "model.layers.15.mlp.up_proj", true),
    (#"model\.layers\.(?:[0-9]|1[0-5])\..*_proj"#, "model.layers.16.mlp.up_proj", false),
    (#"^(?!.*visual).*(?:q_proj|v_proj)$"#, "model.layers.0.self_attn.q_proj", true),
    (#"^(?!.*visual).*(?:q_proj|v_proj)$"#, "visual.blocks.0.attn.q_proj", false),
    (#"(?P<part>mlp|attn)\.(?P=part)"#, "mlp.mlp", true),
    (#"(?P<part>mlp|attn)\.(?P=part)"#, "mlp.attn", false),
    (#"(?i)MLP"#, "mlp", true),
    (#"\d{2,3}"#, "123", true),
    (#"\w+"#, "größe", true),
    ("[^.]+", "層", true),
    (#"(a)(b)\2"#, "abb", true),
  ]

  @Test(arguments: answers)
  func matchesAsPythonDoes(_ pattern: String, _ text: String, _ matches: Bool) throws {
    #expect(try RegularExpression(pattern).matchesWhole(text) == matches)
  }

  @Test(arguments: ["(", "a)(b", "[", "*", "(?P<x>a)(?P=y)", "\\", "(?P<x", "[z-a]"])
  func refusesWhatIsNone(_ pattern: String) {
    let failure = #expect(throws: RegularExpressionError.self) {
      try RegularExpression(pattern)
    }
    guard case .invalid(let reason) = failure else {
      Issue.record("\(String(describing: failure))")
      return
    }
    #expect(!reason.isEmpty)
  }

  @Test(arguments: ["(a+)+b", "(a|aa)+b", "(a*)*b", #"(?:a|a)*b"#, "(.*)(.*)(.*)(.*)(.*)(.*)(.*)b"])
  func givesUp(_ pattern: String) throws {
    let expression = try RegularExpression(pattern)
    #expect(throws: RegularExpressionError.gaveUp) {
      try expression.matchesWhole(String(repeating: "a", count: 2_000))
    }
  }

  @Test func refusesDeepNesting() {
    let deep = String(repeating: "(", count: 5_000) + String(repeating: ")", count: 5_000)
    #expect(throws: RegularExpressionError.self) { try RegularExpression(deep) }
  }
}
