// Formatting by `%` and loops that call themselves: what PyPI `jinja2` renders and refuses.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing

struct TemplateFormattingTests {
  private func render(_ source: String) throws -> String {
    let template = try ChatTemplate(source: source, bosToken: "", eosToken: "")
    return try template.render([], addsGenerationPrompt: false).map(\.text).joined()
  }

  @Test(arguments: [
    (#"{{ "%5d|%-5d|%05d|%+d|% d" % (7, 7, -7, 7, 7) }}"#, "    7|7    |-0007|+7| 7"),
    (#"{{ "%x %X %#x %o %.4d" % (250, 250, 250, 8, 12) }}"#, "fa FA 0xfa 10 0012"),
    (
      #"{{ "%.2f %8.3f|%-9.1e|%g %G" % (1 / 3, -2.5, 12345.678, 0.0001, 1e20) }}"#,
      "0.33   -2.500|1.2e+04  |0.0001 1E+20"
    ),
    (#"{{ "%s is %r%%" % ("a", "b'c") }}"#, #"a is "b'c"%"#),
    (#"{{ "%(b)s%(a)03d" % {"a": 5, "b": none} }}"#, "None005"),
    (#"{{ "%*d|%-*s|%.*f" % (4, 1, 3, "x", 1, 2.25) }}"#, "   1|x  |2.2"),
    (#"{{ "%c%c" % ("é", 8364) }}{{ "%d" % 3.99 }}{{ "%i" % true }}"#, "é€31"),
    (#"{{ "%s" % [1, "a"] }}{{ "%s" % missing }}"#, "[1, 'a']"),
    (#"{{ "%s-%s" | format("x", 2) }}{{ "%(k)s" | format(k=1) }}"#, "x-21"),
  ])
  func formatsAsPython(_ source: String, _ expected: String) throws {
    #expect(try render(source) == expected)
  }

  @Test(arguments: [
    (
      "{% for a in [1, [2, [3]], 4] recursive %}{{ loop.depth }}:"
        + "{% if a is iterable %}({{ loop(a) }}){% else %}{{ a }}{% endif %}{% endfor %}",
      "1:11:(2:22:(3:3))1:4"
    ),
    (
      "{% for a in [3, 0, [1, 0]] if a recursive %}"
        + "{{ loop(a) if a is iterable else a }}{{ loop.index }},{% else %}none{% endfor %}",
      "31,11,2,"
    ),
    (
      "{% for a in [1] %}{% for b in [2] %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}"
        + "{% endfor %}",
      "10"
    ),
    (
      #"{{ none | map(attribute="x") | list }}{{ none | selectattr("x") | list }}"#, "[][]"
    ),
  ])
  func loopsCallThemselves(_ source: String, _ expected: String) throws {
    #expect(try render(source) == expected)
  }

  @Test(arguments: [
    #"{{ "%d" % "x" }}"#, #"{{ "%s %s" % ("a",) }}"#, #"{{ "%s" % ("a", "b") }}"#,
    #"{{ "%" % 1 }}"#, #"{{ "%q" % 1 }}"#, #"{{ "%(a)s" % 1 }}"#, #"{{ "%(a)s" % {"b": 1} }}"#,
    #"{{ "%(a" % {"b": 1} }}"#, #"{{ "%x" % 1.5 }}"#, #"{{ "%c" % "ab" }}"#, #"{{ "x" % 1 }}"#,
    "{% for a in [1] %}{{ loop([2]) }}{% endfor %}",
  ])
  func refusesWhatPythonRefuses(_ source: String) {
    #expect(throws: Diagnostic.self) { try render(source) }
  }

  @Test(arguments: [
    "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    #"{{ "%999999999d" % 1 }}"#, #"{{ "%.999999999d" % 1 }}"#, #"{{ "%.999999f" % 1 }}"#,
    #"{{ "%*s" % (9223372036854775807, "x") }}"#,
  ])
  func amountsHaveLimits(_ source: String) {
    let found = #expect(throws: Diagnostic.self) { try render(source) }
    #expect(found?.code == .templateLimit)
  }

  /// A message in a format stays a message.
  @Test func formatsKeepOrigins() throws {
    let template = try ChatTemplate(
      source: #"{{ "<%s>%5s" % (messages[0].role, messages[0].content) }}"#, bosToken: "",
      eosToken: "")
    let message = JSONValue.dictionary([("role", .string("user")), ("content", .string("hi"))])
    let segments = try template.render([message], addsGenerationPrompt: false)
    #expect(segments == [
      TextSegment(text: "<user>   ", origin: .template),
      TextSegment(text: "hi", origin: .message(0)),
    ])
  }
}
