// The writer against what Python's json.dumps prints for the same values.
import QLoRAJSON
import Testing

@Suite struct JSONWriterTests {
  static let sample = JSONValue.dictionary([
    ("empty", .list([])), ("none", .dictionary([])), ("a", .list([.int(1), .double(2), .null])),
    ("b", .dictionary([("c", .bool(true)), ("d", .string("x"))])),
  ])

  @Test func everyDoubleIsSpelledAsPythonSpellsIt() {
    for (bits, text) in PythonDoubles.cases {
      #expect(JSONWriter.spell(Double(bitPattern: bits)) == text)
    }
  }

  @Test func spelledDoublesReadBackToTheSameBits() throws {
    for (bits, text) in PythonDoubles.cases {
      let value = try JSONValue(parsing: text)
      #expect(value.doubleValue?.bitPattern == bits)
    }
  }

  @Test func valuesWithoutSpellingBecomeNull() {
    for value in [Double.nan, .infinity, -.infinity] {
      #expect(JSONWriter.text(.double(value)) == "null")
    }
  }

  @Test func compact() {
    #expect(
      JSONWriter.text(Self.sample)
        == #"{"empty":[],"none":{},"a":[1,2.0,null],"b":{"c":true,"d":"x"}}"#)
  }

  @Test func spacedAsPythonWithoutIndent() {
    #expect(
      JSONWriter.text(Self.sample, style: .spaced)
        == #"{"empty": [], "none": {}, "a": [1, 2.0, null], "b": {"c": true, "d": "x"}}"#)
  }

  @Test func indentedAsPythonWithIndentTwo() {
    let python = """
      {
        "empty": [],
        "none": {},
        "a": [
          1,
          2.0,
          null
        ],
        "b": {
          "c": true,
          "d": "x"
        }
      }
      """
    #expect(JSONWriter.text(Self.sample, style: .indented) == python)
  }

  @Test func escapesAsPythonWithEnsureASCII() {
    let text = "\u{0}\u{1F}\u{8}\u{C}\n\r\t\"\\/\u{7F}\u{80}é\u{2028}\u{FFFF}😀"
    #expect(
      JSONWriter.quote(text, escapesNonASCII: true)
        == #""\u0000\u001f\b\f\n\r\t\"\\/\u007f\u0080\u00e9\u2028\uffff\ud83d\ude00""#)
  }

  @Test func escapesAsPythonWithoutEnsureASCII() {
    #expect(
      JSONWriter.quote("\u{0}\u{1F}\n\"\\/\u{7F}é😀") == "\"\\u0000\\u001f\\n\\\"\\\\/\u{7F}é😀\"")
  }

  @Test func lineEndsInsideStringsAreTwoEscapes() {
    // Swift sees \r\n as one Character; JSON must not.
    #expect(JSONWriter.quote("a\r\nb") == #""a\r\nb""#)
  }

  @Test func everyScalarReadsBack() throws {
    var scalars = String.UnicodeScalarView()
    for code in stride(from: UInt32(0), through: 0x10FFFF, by: 37) {
      if let scalar = UnicodeScalar(code) { scalars.append(scalar) }
    }
    let text = String(scalars)
    for escapes in [false, true] {
      let written = JSONWriter.text(.string(text), escapesNonASCII: escapes)
      let read = try #require(try JSONValue(parsing: written).stringValue)
      #expect(read.utf8.elementsEqual(text.utf8))
    }
  }

  @Test func numbersKeepTheirSpelling() throws {
    let text = "[1e5,1E+5,-0,0.10,18446744073709551616]"
    #expect(JSONWriter.text(try JSONValue(parsing: text)) == text)
  }
}
