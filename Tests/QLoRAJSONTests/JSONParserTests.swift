// What the reader accepts, and the values it makes of it.
import QLoRAJSON
import Testing

@Suite struct JSONParserTests {
  @Test func values() throws {
    let value = try JSONValue(parsing: #" {"a": [1, -2.5e3, true, false, null, "x"], "b": {}} "#)
    let list = try #require(value["a"]?.arrayValue)
    #expect(list[0].intValue == 1)
    #expect(list[1].doubleValue == -2500)
    #expect(list[2].boolValue == true && list[3].boolValue == false)
    #expect(list[4].isNull && list[5].stringValue == "x")
    #expect(value["b"]?.objectMembers?.isEmpty == true)
    #expect(value["c"] == nil && list[0]["a"] == nil)
  }

  @Test func membersKeepTheirOrder() throws {
    let value = try JSONValue(parsing: #"{"z":1,"a":2,"m":3}"#)
    #expect(value.objectMembers?.map(\.key) == ["z", "a", "m"])
  }

  @Test func positionsOfKeysAndElements() throws {
    let value = try JSONValue(parsing: "{\n  \"a\": 1,\r\n\t\"é\": [10,\n 20]\n}")
    let members = try #require(value.objectMembers)
    #expect(members[0].position == JSONPosition(line: 2, column: 3, offset: 4))
    #expect(members[1].position == JSONPosition(line: 3, column: 2, offset: 14))
    guard case .array(let elements) = members[1].value else {
      Issue.record("not an array")
      return
    }
    #expect(elements[0].position.line == 3 && elements[0].position.column == 9)
    #expect(elements[1].position.line == 4 && elements[1].position.column == 2)
  }

  @Test func byteOrderMarkIsNotAColumn() throws {
    let value = try JSONValue(parsing: [0xEF, 0xBB, 0xBF] + Array(#"{"a":1}"#.utf8))
    #expect(value.objectMembers?[0].position == JSONPosition(line: 1, column: 2, offset: 4))
  }

  @Test(arguments: [
    ("0", 0), ("-1", -1), ("9223372036854775807", Int.max), ("-9223372036854775808", Int.min),
  ]) func exactIntegers(_ text: String, _ expected: Int) throws {
    #expect(try JSONValue(parsing: text).intValue == expected)
  }

  @Test(arguments: ["1.0", "1e3", "9223372036854775808", "-9223372036854775809"])
  func numbersThatAreNoIntegers(_ text: String) throws {
    let value = try JSONValue(parsing: text)
    #expect(value.intValue == nil)
    #expect(value.doubleValue == Double(text))
  }

  @Test func numbersTooLargeForADoubleAreInfinite() throws {
    #expect(try JSONValue(parsing: "1e999").doubleValue == .infinity)
    #expect(try JSONValue(parsing: "1e-999").doubleValue == 0)
    #expect(try JSONValue(parsing: "-0").doubleValue?.sign == .minus)
  }

  @Test(arguments: [
    (#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{C}\n\r\t"), (#""\u0041\u00e9\u20AC""#, "Aé€"),
    (#""\ud83d\ude00""#, "😀"), (#""\uD800\uDC00""#, "\u{10000}"),
    (#""\udbff\udfff""#, "\u{10FFFF}"), (#""a\u0000b""#, "a\u{0}b"), ("\"\u{7F}é😀\"", "\u{7F}é😀"),
  ]) func strings(_ text: String, _ expected: String) throws {
    let value = try #require(try JSONValue(parsing: text).stringValue)
    #expect(value.utf8.elementsEqual(expected.utf8))
  }

  @Test func commentsAndTrailingCommasOnRequest() throws {
    let text = """
      // head
      { /* a * comment / over
      lines */ "a": [1, 2, /**/ ], // tail
        "b": "// not a comment /* nor this */",
      } /* end */
      """
    let options = JSONReadOptions(allowsComments: true)
    let value = try JSONValue(parsing: text, options: options)
    #expect(value["a"]?.arrayValue?.count == 2)
    #expect(value["b"]?.stringValue == "// not a comment /* nor this */")
    #expect(value.objectMembers?[0].position.line == 3)
    #expect(value.objectMembers?[0].position.column == 10)
    #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
  }

  @Test func deepestAllowedNesting() throws {
    let options = JSONReadOptions(maximumDepth: 5)
    _ = try JSONValue(parsing: "[[[[[]]]]]", options: options)
    _ = try JSONValue(parsing: "[[[[[]]]],[[]],{}]", options: options)
    let error = #expect(throws: JSONError.self) {
      try JSONValue(parsing: "[[[[[\n[]]]]]]", options: options)
    }
    #expect(error?.kind == .depth)
    #expect(error?.position == JSONPosition(line: 2, column: 1, offset: 6))
  }

  @Test func hostileDepthEndsAtTheLimit() {
    let text = String(repeating: #"{"a":["#, count: 100_000)
    let error = #expect(throws: JSONError.self) { try JSONValue(parsing: text) }
    #expect(error?.kind == .depth)
  }

  @Test func duplicatesOnRequest() throws {
    let options = JSONReadOptions(rejectsDuplicateKeys: false)
    let value = try JSONValue(parsing: #"{"a":1,"a":2}"#, options: options)
    #expect(value.objectMembers?.count == 2)
    #expect(value["a"]?.intValue == 1)
  }

  @Test func keysThatOnlyLookAlikeAreDifferent() throws {
    // One scalar, and a letter with a combining accent: equal as Swift strings, not as JSON keys.
    let value = try JSONValue(parsing: #"{"\u00e9": 1, "e\u0301": 2}"#)
    #expect(value.objectMembers?.count == 2)
    #expect(value["\u{E9}"]?.intValue == 1)
    #expect(value["e\u{301}"]?.intValue == 2)
    #expect(JSONValue.string("\u{E9}") != JSONValue.string("e\u{301}"))
  }

  @Test func everyPrefixOfADocumentIsAnErrorAndNotATrap() {
    let bytes = Array(#"{"a": [1.5e-3, "x\u00e9\n", true, {"b": null}], "c": -0}"#.utf8)
    for length in bytes.indices {
      #expect(throws: JSONError.self) { try JSONValue(parsing: bytes[..<length]) }
    }
  }

  @Test func everyDamagedByteIsReadOrRefused() {
    let bytes = Array(#"{"a": [1.5e-3, "x\u00e9\n😀", true, {"b": null}], "c": -0}"#.utf8)
    var refused = 0
    for index in bytes.indices {
      for replacement in [UInt8(0), 0x22, 0x5C, 0x7B, 0x80, 0xC0, 0xED, 0xFF] {
        var damaged = bytes
        damaged[index] = replacement
        if (try? JSONValue(parsing: damaged)) == nil { refused += 1 }
      }
    }
    #expect(refused > bytes.count * 6)
  }
}
