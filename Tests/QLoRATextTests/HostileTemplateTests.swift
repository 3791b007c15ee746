// Templates made to hang, to overflow the stack or to fill memory end in typed errors.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing

private func failure(
  _ source: String, _ limits: TemplateLimits = TemplateLimits()
) -> Diagnostic? {
  do {
    let template = try ChatTemplate(source: source, bosToken: "", eosToken: "", limits: limits)
    _ = try template.render(
      [.dictionary([("role", .string("user")), ("content", .string("abc"))])],
      addsGenerationPrompt: true)
    return nil
  } catch {
    return error as? Diagnostic
  }
}

/// Something that is done again and again with the variables that are set before.
private func loop(_ body: String, _ settings: String...) -> String {
  settings.map { "{% set \($0) %}" }.joined()
    + "{% for i in range(1999) %}{% for j in range(1999) %}\(body){% endfor %}{% endfor %}"
}

/// `n.x`, a list that holds another twice, and so on: small in memory, endless on paper.
private func shared(_ depth: Int, _ use: String) -> String {
  "{% set n = namespace(x=[1]) %}{% for i in range(\(depth)) %}{% set n.x = [n.x, n.x] %}"
    + "{% endfor %}\(use)"
}

struct HostileTemplateTests {
  /// A fiftieth of the standard amounts, so that reaching them takes no time; depths as they are.
  private let small: TemplateLimits = {
    var limits = TemplateLimits()
    limits.sourceBytes /= 50
    limits.steps /= 50
    limits.rangeLength /= 50
    limits.outputBytes /= 50
    limits.textWork /= 50
    return limits
  }()

  @Test(arguments: [
    ("steps", "{% for a in range(1999) %}{% for b in range(1999) %}{% endfor %}{% endfor %}"),
    (
      "steps",
      "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}"
    ),
    ("steps", "{{ [0] * 99999999999 }}"),
    ("steps", loop("{% if x == y %}{% endif %}", "x = range(1999)|list", "y = range(1999)|list")),
    ("steps", loop("{% if x < y %}{% endif %}", "x = 'a' * 19999", "y = 'a' * 19998 ~ 'b'")),
    ("steps", loop("{% if 'b' in x %}{% endif %}", "x = 'a' * 19999")),
    ("steps", loop("{% if y in x %}{% endif %}", "x = [1999 * 'a'] * 1999", "y = 1999 * 'a'")),
    ("steps", loop("{% if x is eq y %}{% endif %}", "x = [0] * 1999", "y = [0] * 1999")),
    ("steps", loop("{% if x.count(1) %}{% endif %}", "x = [0] * 1999")),
    ("steps", loop("{% set z = x.split() %}", "x = 'a ' * 199")),
    ("steps", "{{ {\(String(repeating: "1: 1, ", count: 1999))} }}"),
    ("steps", shared(90, "{% if n.x == n.x %}{% endif %}")),
    ("characters", shared(90, "{{ n.x }}")),
    ("characters", shared(90, "{{ n.x | tojson }}")),
    ("characters", shared(90, "{{ n.x | upper }}")),
    ("characters", shared(90, "{{ [n.x] | join }}")),
    ("characters", shared(90, "{% set y = n.x ~ '' %}")),
    ("characters", "{{ range(1999) | list | tojson(separators=['x' * 9999, ':']) }}"),
    ("a range", "{{ range(2001) | length }}"),
    ("a range", "{{ range(-9223372036854775807, 9223372036854775807) }}"),
    ("characters", "{{ 'a' * 9223372036854775807 }}"),
    ("beyond 64 bits", "{{ 2 ** 64 }}"), ("beyond 64 bits", "{{ 9223372036854775807 + 1 }}"),
    ("an indentation", "{{ 'a' | indent(999999999) }}"),
    (
      "characters",
      "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}"
    ),
    (
      "bytes of output",
      "{% set x = 'a' * 9999 %}{% for i in range(99) %}{{ x }}{% endfor %}"
    ),
    ("characters", "{% set x = 'a' * 9999 %}{{ x | replace('', x) }}"),
    (
      "characters",
      "{% set x = 'a' * 999 %}{% for i in range(1999) %}{% set y = x | upper %}{% endfor %}"
    ),
    ("bytes; at most", String(repeating: "x", count: (1 << 20) / 50 + 1)),
  ])
  func anAmountEndsIt(_ reason: String, _ source: String) throws {
    let found = try #require(failure(source, small))
    #expect(found.code == .templateLimit)
    #expect(found.message.contains(reason), "\(found.message)")
  }

  @Test(arguments: [
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% macro f(n) %}{% for i in [1] %}{% if true %}{{ f(n) }}{% endif %}{% endfor %}{% endmacro %}"
      + "{{ f(1) }}",
    "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}",
    "{% set ns = namespace(x={}) %}{% for i in range(9999) %}{% set ns.x = {'a': ns.x.items} %}"
      + "{% endfor %}",
    "{{ \(String(repeating: "(", count: 5000))1\(String(repeating: ")", count: 5000)) }}",
    "{{ 1\(String(repeating: "+1", count: 5000)) }}",
    "{{ \(String(repeating: "not ", count: 5000))1 }}",
    "{{ a\(String(repeating: ".b", count: 5000)) }}",
    "{{ a\(String(repeating: "|upper", count: 5000)) }}",
    "{{ \(String(repeating: "[", count: 5000))\(String(repeating: "]", count: 5000)) }}",
    String(repeating: "{% if 1 %}", count: 5000),
    "{% for \(String(repeating: "(", count: 5000))a\(String(repeating: ")", count: 5000)) %}",
  ])
  func aDepthEndsIt(_ source: String) throws {
    let found = try #require(failure(source))
    #expect(found.code == .templateLimit)
    #expect(found.message.contains("levels"), "\(found.message)")
  }

  /// A needle that nearly occurs at every place is looked for in time of the text's length.
  @Test(arguments: [
    "{{ x in y }}", "{{ y.find(x) }}", "{{ y.rfind(x) }}", "{{ y.count(x) }}",
    "{{ y.replace(x, '') | length }}", "{{ y.split(x) | length }}", "{{ y.rsplit(x) | length }}",
  ])
  func searchingIsLinear(_ use: String) {
    #expect(failure("{% set x = 'a' * 99999 ~ 'b' %}{% set y = 'a' * 999999 %}\(use)") == nil)
  }

  /// The limits that a run has, against one that grows or was left out by mistake.
  @Test func standardLimits() {
    let limits = TemplateLimits()
    #expect(limits.sourceBytes == 1 << 20 && limits.outputBytes == 16 << 20)
    #expect(limits.steps == 3_000_000 && limits.textWork == 48 << 20)
    #expect(failure("{{ range(100000) | length }}") == nil)
    #expect(failure("{{ range(100001) | length }}")?.code == .templateLimit)
  }

  /// Values that refer to each other in circles or chains are freed without harm.
  @Test(arguments: [
    "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}",
    "{% set n = namespace() %}{% for i in range(20000) %}{% set n = namespace(x=n) %}{% endfor %}",
    "{% set o = namespace(x=0) %}{% for i in range(20000) %}{% set n = namespace(x=o.x) %}"
      + "{% set o.x = n %}{% endfor %}",
    "{% set o = namespace(x=0) %}{% for i in range(9000) %}{% for j in [o.x] %}{% set o.x = loop %}"
      + "{% endfor %}{% endfor %}",
  ])
  func circlesAndChainsAreHarmless(_ source: String) {
    #expect(failure(source) == nil)
  }

  @Test func errorsNameTheirPlace() throws {
    let syntax = try #require(failure("line one\n  {{ 'abc' | }}"))
    #expect(syntax.code == .templateSyntax)
    #expect(syntax.location == .position(file: "chat template", line: 2, column: 14))
    let missing = try #require(failure("a\r\nb\n{{ messages[0].x.y }}"))
    #expect(missing.code == .templateFailed)
    #expect(missing.location == .position(file: "chat template", line: 3, column: 17))
    let refusal = try #require(failure("{{ raise_exception('roles must alternate') }}"))
    #expect(refusal.code == .templateRaised)
    #expect(refusal.message.contains("roles must alternate"))
  }

  @Test(arguments: ["{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}"])
  func otherFilesAreOutOfReach(_ source: String) {
    #expect(failure(source)?.code == .templateSyntax)
  }

  /// Cutting or damaging a template anywhere gives an error or text, never a crash.
  @Test func brokenTemplatesDoNotCrash() {
    let source = Array(
      """
      {%- macro f(a, b=[1, {'k': "v"}]) -%}{{ a[1:-1] | replace('x', "y") ~ -1.5e3 }}{% endmacro %}
      {# note #}{% raw %}{{ x }}{% endraw %}{% for k, v in d.items() if k is not none %}
      {%+ if not k in ('a', 'b') and v <= 2 ** 3 %}{{ loop.index }}{% elif v %}{% break %}{% else %}
      {% set ns.x = f(k, b=v) %}{% endif %}{% endfor %}{% filter upper %}x{% endfilter %}
      """.utf8)
    for length in 0...source.count {
      _ = failure(String(decoding: source[..<length], as: UTF8.self))
    }
    for index in source.indices {
      for byte in "{}%(\"'|-[0".utf8 {
        var damaged = source
        damaged[index] = byte
        _ = failure(String(decoding: damaged, as: UTF8.self))
      }
    }
  }
}
