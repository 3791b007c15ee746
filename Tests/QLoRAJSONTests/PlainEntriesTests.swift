// Runs of short entries: what is taken in one sweep, and that the rest is left as it was.
import QLoRAJSON
import Testing

@Suite struct PlainEntriesTests {
  /// Keys and numbers of an object, by sweeps and one by one, and the place behind it.
  private func members(
    _ text: String, bySweeps: Bool
  ) throws -> (list: [String], swept: Int, end: JSONPosition) {
    var reader = try JSONPullReader(bytes: Array(text.utf8))
    var entries = PlainEntries()
    var list: [String] = []
    var swept = 0
    try reader.enterObject()
    while true {
      if bySweeps { reader.takePlainMembers(&entries, below: 1_000) }
      for (range, number) in zip(entries.texts, entries.numbers) {
        list.append(String(decoding: reader.bytes[range], as: UTF8.self) + "=\(number)")
      }
      swept += entries.numbers.count
      var key: [UInt8] = []
      guard try reader.nextKey(into: &key) else { return (list, swept, reader.position) }
      let number = try reader.naturalNumber()
      list.append(String(decoding: key, as: UTF8.self) + "=\(number.map(String.init) ?? "none")")
    }
  }

  @Test(arguments: [
    #"{}"#, #"{"a":1}"#, "{ \"a\" : 1 ,\n\"b\":2\n}", #"{"":0,"\"":1,"b":2,"\u00e9":3,"c":4}"#,
    #"{"a":1,"b":-1,"c":2}"#, #"{"a":1,"b":1000,"c":007}"#, #"{"a":1,"b":2.0,"c":3}"#,
    #"{"a":1,"b":1234567890,"c":3}"#, #"{"a":1,"b":[1],"c":3}"#, #"{"a":1,"b":2,}"#,
    #"{"a":1 "b":2}"#, #"{"a":1,"b"}"#, #"{"a":1,"b"#, #"{"a":1"#, #"{"a":1]"#, #"{,"a":1}"#,
    "{\n      \"long key that spans words\": 12,\r\n\t\"x\": 3}", "{\"a\n\":1}", "{\"ä€🙂\":7}",
  ])
  func sweepsReadWhatTheReaderReads(_ text: String) throws {
    do {
      let wanted = try members(text, bySweeps: false)
      let found = try members(text, bySweeps: true)
      #expect(found.list == wanted.list && found.end == wanted.end)
    } catch let wanted as JSONError {
      #expect(throws: wanted) { _ = try members(text, bySweeps: true) }
    }
  }

  /// Texts of every length, so that quotes stand at every place of a word of eight bytes.
  @Test(arguments: [0, 1, 3, 9]) func manyEntriesKeepTheirLines(_ indentation: Int) throws {
    let spaces = String(repeating: " ", count: indentation)
    let entries = (0..<200).map { "\(spaces)\"\(String(repeating: "é", count: $0 % 23))\": \($0)" }
    let text = "{\n" + entries.joined(separator: ",\n") + "\n}\n"
    let wanted = try members(text, bySweeps: false)
    let found = try members(text, bySweeps: true)
    #expect(found.list == wanted.list && found.end == wanted.end)
    #expect(found.swept > 190)
  }

  /// Elements as texts joined by a bar.
  private func elements(_ text: String) throws -> (list: [String], isAtEnd: Bool) {
    var reader = try JSONPullReader(bytes: Array(text.utf8))
    var entries = PlainEntries()
    try reader.enterArray()
    reader.takePlainTexts(&entries)
    let list = zip(entries.texts, entries.seconds).map { first, second in
      String(decoding: reader.bytes[first], as: UTF8.self)
        + (second.isEmpty ? "" : "|" + String(decoding: reader.bytes[second], as: UTF8.self))
    }
    return (list, try !reader.nextElement())
  }

  @Test func elementsAreTextsOrPairs() throws {
    let found = try elements(#"[ "a b" , ["c","d"],["e" , "f" ],"" ]  "#)
    #expect(found.list == ["a b", "c|d", "e|f", ""] && found.isAtEnd)
  }

  @Test(arguments: [
    #"["a b",["c",""]]     "#, #"["a b",["c"]]     "#, #"["a b",["c","d","e"]]     "#,
    #"["a b",1]          "#, #"["a b",["c\"","d"]]     "#, #"["a b",["c" "d"]]      "#,
  ])
  func otherElementsAreLeft(_ text: String) throws {
    let found = try elements(text)
    #expect(found.list == ["a b"] && !found.isAtEnd)
  }
}
