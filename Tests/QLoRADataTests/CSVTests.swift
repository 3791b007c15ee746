// Comma-separated values by RFC 4180, and what is refused with its place.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import Testing

struct CSVTests {
  private func rows(_ text: String, _ file: String = "f.csv") throws -> [[String: String]] {
    var rows: [[String: String]] = []
    try RowReader(file: file, bytes: Array(text.utf8)).forEachRow { row in
      let pairs = (row.value.objectMembers ?? []).map { ($0.key, $0.value.stringValue ?? "-") }
      rows.append(Dictionary(pairs) { $1 })
    }
    return rows
  }

  private func failure(_ text: String) -> Diagnostic? {
    do {
      _ = try rows(text)
      return nil
    } catch { return error as? Diagnostic }
  }

  @Test(arguments: ["\n", "\r\n", "\r"])
  func quotesCommasAndLineEnds(_ end: String) throws {
    let text =
      "\u{FEFF}prompt,completion\(end)\"a \"\"b\"\", c\nd\",x\(end)\(end), y \(end)\"\",\"\"\"\""
    #expect(
      try rows(text) == [
        ["prompt": "a \"b\", c\nd", "completion": "x"], ["prompt": "", "completion": " y "],
        ["prompt": "", "completion": "\""],
      ])
  }

  @Test func aSeparatorAtTheEndHasAFieldBehindIt() throws {
    #expect(try rows("a,b\n1,\n2,") == [["a": "1", "b": ""], ["a": "2", "b": ""]])
  }

  @Test func tabsByTheName() throws {
    #expect(try rows("a\tb\n1,\t2\n", "f.tsv") == [["a": "1,", "b": "2"]])
  }

  @Test func emptyFiles() throws {
    #expect(try rows("").isEmpty)
    #expect(try rows("a,b\n").isEmpty)
  }

  @Test(arguments: [
    ("a,b\n1\n", "row 1 has 1 fields, but the header names 2 columns", 2),
    ("a,b\n1,2\n\n1,2,3\n", "row 2 has 3 fields, but the header names 2 columns", 4),
    ("a,a\n1,2\n", "the header names the column \"a\" twice", 1),
    ("a\n\"x\ny", "row 1: a quoted field is not closed", 2),
    ("a\n\"x\"y\n", "row 1: a field goes on after its closing quote", 2),
  ])
  func refused(_ text: String, _ message: String, _ line: Int) {
    let problem = failure(text)
    #expect(problem?.code == .rowSyntax)
    #expect(problem?.message == message)
    #expect(problem?.location == .position(file: "f.csv", line: line, column: 1))
  }

  @Test func badUTF8NamesItsOffset() {
    var bytes = Array("a\nxé\n".utf8)
    bytes[4] = 0x28
    let problem = #expect(throws: Diagnostic.self) {
      try RowReader(file: "f.csv", bytes: bytes).forEachRow { _ in }
    }
    #expect(problem?.code == .rowEncoding)
    #expect(problem?.location == .byteOffset(file: "f.csv", offset: 3))
  }

  /// A column of messages is JSON text.
  @Test func messagesAsText() throws {
    let text = "messages\n\"[{\"\"role\"\":\"\"user\"\",\"\"content\"\":\"\"q\"\"}]\"\n"
    try RowReader(file: "f.csv", bytes: Array(text.utf8)).forEachRow { row in
      guard case .conversation(let messages, _) = try RowFormat.messages.content(of: row)
      else { return #expect(Bool(false)) }
      #expect(messages.first?["content"]?.stringValue == "q")
    }
    let bad = try dataRow(#"{"messages":"[{"}"#)
    #expect(throws: Diagnostic.self) { try RowFormat.messages.content(of: bad) }
  }
}
