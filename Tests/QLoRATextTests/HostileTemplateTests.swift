// Templates made to hang, to overflow the stack or to fill memory end in typed errors.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing

private func failure(_ source: String) -> Diagnostic? {
  do {
    let template = try ChatTemplate(source: source, bosToken: "", eosToken: "")
    _ = try template.render(
      [.dictionary([("role", .string("user")), ("content", .string("abc"))])],
      addsGenerationPrompt: true)
    return nil
  } catch {
    return error as? Diagnostic
  }
}

struct HostileTemplateTests {
  @Test(arguments: [
    // Steps.
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
    // Ranges and repetition.
    "{{ range(100001) | length }}", "{{ range(-9223372036854775807, 9223372036854775807) }}",
    "{{ 'a' * 9223372036854775807 }}", "{{ [0] * 99999999999 }}", "{{ 2 ** 64 }}",
    "{{ 9223372036854775807 + 1 }}", "{{ 'a' | indent(999999999) }}",
    // Text.
    "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
    "{% set x = 'a' * 999999 %}{% for i in range(99) %}{{ x }}{% endfor %}",
    "{% set x = 'a' * 99999 %}{{ x | replace('', x) }}",
    "{% set x = 'a' * 9999 %}{% for i in range(99999) %}{% set y = x | upper %}{% endfor %}",
    // Depth.
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
    // Size.
    String(repeating: "x", count: (1 << 20) + 1),
  ])
  func aLimitEndsIt(_ source: String) {
    #expect(failure(source)?.code == .templateLimit)
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
