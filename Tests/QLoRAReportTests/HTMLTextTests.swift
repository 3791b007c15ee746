// Hostile text on pages and terminals is seen, never obeyed.
import QLoRAReport
import Testing

@Suite struct HTMLTextTests {
  @Test(arguments: [
    ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
    ("a\" onmouseover='b' &amp;", "a&quot; onmouseover=&#39;b&#39; &amp;amp;"),
    ("x\u{202E}y\u{2066}z\u{200F}", "x{U+202E}y{U+2066}z{U+200F}"),
    ("\u{1B}[31m\u{0}\u{7F}\u{9B}", "{U+1B}[31m{U+0}{U+7F}{U+9B}"), ("a\n\tb", "a\n\tb"),
    ("Zoë 音 👩‍👩‍👧", "Zoë 音 👩‍👩‍👧"),
  ])
  func escapes(text: String, expected: String) {
    #expect(HTMLText.escape(text) == expected)
  }

  @Test func terminalsKeepMarkup() {
    #expect(HTMLText.plain("<a> \u{1B}[2J") == "<a> {U+1B}[2J")
  }
}
