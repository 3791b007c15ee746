// What the reader refuses: the kind, the exact place and the words.
import QLoRAJSON
import Testing

@Suite struct JSONErrorTests {
  struct Refusal: Sendable, CustomTestStringConvertible {
    let text: String
    let kind: JSONError.Kind
    let line: Int
    let column: Int
    let message: String
    var testDescription: String { text }

    init(
      _ text: String, _ kind: JSONError.Kind = .syntax, _ line: Int, _ column: Int,
      _ message: String
    ) {
      self.text = text
      self.kind = kind
      self.line = line
      self.column = column
      self.message = message
    }
  }

  static let refusals = [
    Refusal("", .syntax, 1, 1, "the text ends where a value should begin"),
    Refusal(" \n ", .syntax, 2, 2, "the text ends where a value should begin"),
    Refusal("{", .syntax, 1, 2, "expected a key in quotes"),
    Refusal("{a:1}", .syntax, 1, 2, "expected a key in quotes"),
    Refusal("{\"a\" 1}", .syntax, 1, 6, "expected ':' after a key"),
    Refusal("{\"a\":1 \"b\":2}", .syntax, 1, 8, "expected ',' or '}'"),
    Refusal("[1 2]", .syntax, 1, 4, "expected ',' or ']'"),
    Refusal("[1,]", .syntax, 1, 3, "a comma before the closing bracket"),
    Refusal("{\"a\":1,}", .syntax, 1, 7, "a comma before the closing bracket"),
    Refusal("[,1]", .syntax, 1, 2, "expected a value, found ','"),
    Refusal("[1", .syntax, 1, 3, "the text ends inside a value"),
    Refusal("[1}", .syntax, 1, 3, "expected ',' or ']'"),
    Refusal("1 2", .syntax, 1, 3, "text after the end of the JSON value"),
    Refusal("tru", .syntax, 1, 1, "expected true"),
    Refusal("nul!", .syntax, 1, 1, "expected null"),
    Refusal("NaN", .syntax, 1, 1, "expected a value, found 'N'"),
    Refusal("\u{1}", .syntax, 1, 1, "expected a value, found byte 1"),
    Refusal("// x\n1", .syntax, 1, 1, "expected a value, found '/'"),
    Refusal("01", .syntax, 1, 1, "a malformed number"),
    Refusal("-", .syntax, 1, 1, "a malformed number"),
    Refusal("[\n1.]", .syntax, 2, 1, "a malformed number"),
    Refusal("1e", .syntax, 1, 1, "a malformed number"),
    Refusal("1e+", .syntax, 1, 1, "a malformed number"),
    Refusal("0x10", .syntax, 1, 1, "a malformed number"),
    Refusal("1.2.3", .syntax, 1, 1, "a malformed number"),
    Refusal("+1", .syntax, 1, 1, "expected a value, found '+'"),
    Refusal(".5", .syntax, 1, 1, "expected a value, found '.'"),
    Refusal("\"a", .syntax, 1, 1, "a string without its closing quote"),
    Refusal("\"a\nb\"", .syntax, 1, 3, "a control character inside a string; escape it"),
    Refusal("\"\\x\"", .syntax, 1, 4, "an unknown escape in a string"),
    Refusal("\"\\u12G4\"", .syntax, 1, 4, "\\u needs four hexadecimal digits"),
    Refusal("\"\\u+123\"", .syntax, 1, 4, "\\u needs four hexadecimal digits"),
    Refusal("\"\\ud800\"", .encoding, 1, 8, "half of a surrogate pair"),
    Refusal("\"\\ud800\\n\"", .encoding, 1, 8, "half of a surrogate pair"),
    Refusal("\"\\ud800\\u0041\"", .encoding, 1, 14, "half of a surrogate pair"),
    Refusal("\"\\udc00\"", .encoding, 1, 8, "half of a surrogate pair"),
    Refusal("{\"a\":1,\n \"a\":2}", .duplicateKey, 2, 2, "the key \"a\" appears twice"),
    Refusal("{\"a\":1,\"\\u0061\":2}", .duplicateKey, 1, 8, "the key \"a\" appears twice"),
    Refusal("[{\"\":{\"\":1,\"\":2}}]", .duplicateKey, 1, 12, "the key \"\" appears twice"),
  ]

  @Test(arguments: refusals) func refusal(_ expected: Refusal) throws {
    let error = try #require(throws: JSONError.self) { try JSONValue(parsing: expected.text) }
    #expect(error.kind == expected.kind)
    #expect(error.message == expected.message)
    #expect(error.position.line == expected.line)
    #expect(error.position.column == expected.column)
  }

  @Test(
    arguments: [
      [0x80], [0xC0, 0x80], [0xC3], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80],
      [0xF8, 0x88, 0x80, 0x80, 0x80], [0xFF],
    ] as [[UInt8]]) func badUTF8(_ bytes: [UInt8]) throws
  {
    for text in [[0x22] + bytes + [0x22], [0x22, 0x5C, 0x6E] + bytes + [0x22]] {
      let error = try #require(throws: JSONError.self) { try JSONValue(parsing: text) }
      #expect(error.kind == .encoding)
      #expect(error.message == "a string that is not UTF-8")
      #expect(error.position == JSONPosition(line: 1, column: 1, offset: 0))
    }
  }

  @Test(arguments: ["/* open", "[1, /* \n *", "/", "[1 / 2]"])
  func brokenComments(_ text: String) {
    #expect(throws: JSONError.self) {
      try JSONValue(parsing: text, options: JSONReadOptions(allowsComments: true))
    }
  }

  @Test func twoTrailingCommasAreNeverRight() {
    for text in ["[1,,]", "[,]", "{,}", "{\"a\":1,,}"] {
      #expect(throws: JSONError.self) {
        try JSONValue(parsing: text, options: JSONReadOptions(allowsComments: true))
      }
    }
  }
}
