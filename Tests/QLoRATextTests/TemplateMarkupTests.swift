// Markup, which escapes what is joined to it, and generators, which have neither length nor text:
// what PyPI `jinja2` renders and refuses.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing

struct TemplateMarkupTests {
  private func render(_ source: String, _ messages: [JSONValue] = []) throws -> [TextSegment] {
    let template = try ChatTemplate(source: source, bosToken: "", eosToken: "")
    return try template.render(messages, addsGenerationPrompt: false)
  }

  @Test(arguments: [
    (#"{{ "<a>"|safe + "<b>" }}"#, #"<a>&lt;b&gt;"#),
    (#"{{ "<a>" + "<b>"|safe }}"#, #"&lt;a&gt;<b>"#),
    (#"{{ "&'"|safe + '"' + "<"|safe }}"#, #"&'&#34;<"#),
    (#"{{ "<"|e }}"#, #"&lt;"#),
    (#"{{ "<"|e|e }}"#, #"&lt;"#),
    (#"{{ "<"|e|forceescape }}"#, #"&amp;lt;"#),
    (#"{{ "<"|escape|safe|escape }}"#, #"&lt;"#),
    (#"{{ ("<%s>"|safe) % "<" }}"#, #"<&lt;>"#),
    (#"{{ "%s" % ("<"|safe) }}"#, #"<"#),
    (#"{{ ("%s %d"|safe) % ("&", 3) }}"#, #"&amp; 3"#),
    (#"{{ ("<%5s|%-5s|%.2s>"|safe) % ("<", "a", "&&") }}"#, #"< &lt;|a    |&a>"#),
    (#"{{ ("%r"|safe) % "<" }}"#, #"&#39;&lt;&#39;"#),
    (#"{{ ("%(a)s"|safe) % {"a": "<"} }}"#, #"&lt;"#),
    (#"{{ ("%s"|safe)|format("<") }}"#, #"&lt;"#),
    (#"{{ (" <a> "|safe).strip() + "<" }}"#, #"<a>&lt;"#),
    (#"{{ ("<a>"|safe|upper) + "<" }}"#, #"<A>&lt;"#),
    (#"{{ ("<a>"|safe|trim) + ">" }}"#, #"<a>&gt;"#),
    (#"{{ ("a<"|safe).title() + "<" }}"#, #"A<&lt;"#),
    (#"{{ ("a<"|safe|title) + "<" }}"#, #"A<<"#),
    (#"{{ ("a"|safe|capitalize) + "<" }}"#, #"A&lt;"#),
    (#"{{ ("a,b"|safe).split(",")[0] + "<" }}"#, #"a&lt;"#),
    (#"{{ ("ab"|safe)[0] + "<" }}"#, #"a&lt;"#),
    (#"{{ ("ab"|safe)[:1] + "<" }}"#, #"a&lt;"#),
    (#"{{ ("a-b"|safe).replace("-", "<") }}"#, #"a&lt;b"#),
    (#"{{ ("a-b"|safe)|replace("-", "<") + "<" }}"#, #"a<b<"#),
    (#"{{ ("<"|safe).join(["&", "&"|safe]) }}"#, #"&amp;<&"#),
    (#"{{ "<".join(["&"|safe, "&"]) + "<" }}"#, #"&<&<"#),
    (#"{{ ["<"|safe, "<"]|join(">") }}"#, #"<><"#),
    (#"{{ ("<"|safe * 2) + "<" }}"#, #"<<&lt;"#),
    (#"{{ "<"|safe ~ "<" }}"#, #"<<"#),
    (#"{{ ("<"|safe)|string + "<" }}"#, #"<&lt;"#),
    (#"{{ ("ab"|safe|reverse) + "<" }}"#, #"ba&lt;"#),
    (#"{{ ("a\nb"|safe|indent) + "<" }}"#, #"a\#n    b&lt;"#),
    (#"{{ "<"|safe is escaped }}"#, #"True"#),
    (#"{{ "<" is escaped }}"#, #"False"#),
    (#"{{ ("<"|safe)|tojson + "<" }}"#, #""<"<"#),
    (
      #"{% set x = "<"|safe %}{% set y %}{{ x }}{% endset %}{{ x + "<" }}{{ y + "<" }}"#,
      #"<&lt;<<"#
    ),
    (
      #"{% macro m(a) %}{{ a }}{% endmacro %}{{ m("<"|safe) + "<" }}{{ {"a": "<"|safe}.a + "<" }}"#,
      #"<<<&lt;"#
    ),
    (#"{{ ("<a"|safe).removeprefix("<") + "<" }}"#, #"a&lt;"#),
    (#"{{ ("A"|safe|lower) + "<" }}"#, #"a&lt;"#),
    (#"{% for c in "<"|safe %}{{ c + "<" }}{% endfor %}"#, #"<<"#),
    (#"{{ [1,2]|map("string")|list|tojson }}"#, #"["1", "2"]"#),
    (#"{{ [3,1]|map("abs")|sort }}"#, #"[1, 3]"#),
    (#"{{ [1,2]|select("odd")|join }}"#, #"1"#),
    (#"{{ [1,2]|map("abs")|first }}"#, #"1"#),
    (#"{{ "yes" if []|select else "no" }}"#, #"yes"#),
    (#"{{ "yes" if [0]|reject else "no" }}"#, #"yes"#),
    (#"{{ [1]|map("abs") is iterable }}"#, #"True"#),
    (#"{{ [1]|map("abs") is sequence }}"#, #"False"#),
    (#"{{ 2 in [1,2]|map("abs") }}"#, #"True"#),
    (#"{{ [1,2]|map("abs")|sum }}"#, #"3"#),
    (#"{{ [1,2]|map("abs")|max }}"#, #"2"#),
    (#"{{ {"a": 1}|items|list }}"#, #"[('a', 1)]"#),
    (
      #"{% for x in [1,2]|map("abs") %}{{ loop.index }}/{{ loop.length }}{% endfor %}"#,
      #"1/22/2"#
    ),
    (#"{{ [2,1]|reverse|list }}"#, #"[1, 2]"#),
    (#"{{ ([1,2,3]|batch(2)|list)[1] }}"#, #"[3]"#),
    (#"{{ [1,1]|unique|list }}"#, #"[1]"#),
    (#"{{ ([1]|map("abs"))[0] is defined }}"#, #"False"#),
  ])
  func rendersAsJinja(_ source: String, _ expected: String) throws {
    #expect(try render(source).map(\.text).joined() == expected)
  }

  @Test(arguments: [
    #"{{ ([1]|map("abs"))[:1] }}"#,
    #"{{ [1]|map("abs")|tojson }}"#,
    #"{{ {"a": [1]|select}|tojson }}"#,
    #"{{ [1]|map("abs")|length }}"#,
    #"{{ [1]|map("abs") + [2] }}"#,
    #"{{ [1]|select|last }}"#,
    #"{{ ([1]|map("abs")).index(1) }}"#,
    #"{{ [1]|reverse|tojson }}"#,
    #"{{ {"a": 1}|items|length }}"#,
    #"{{ [1]|batch(1)|tojson }}"#,
    #"{{ [1]|unique|count }}"#,
    #"{{ [1]|map("abs") * 2 }}"#,
  ])
  func refusesWhatGeneratorsLack(_ source: String) throws {
    let found = #expect(throws: Diagnostic.self) { _ = try render(source) }
    #expect(found?.code == .templateFailed)
  }

  /// What escaping makes of a message's character is the message's.
  @Test func escapedTextKeepsItsOrigin() throws {
    let message = try JSONValue(parsing: #"{"role": "user", "content": "<"}"#)
    let segments = try render(#"{{ "<"|safe + messages[0].content }}"#, [message])
    #expect(
      segments == [
        TextSegment(text: "<", origin: .template), TextSegment(text: "&lt;", origin: .message(0)),
      ])
  }
}
