// Files of rows: what is skipped, and what is refused with its place.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import TestSupport
import Testing

struct RowReaderTests {
  private func rows(_ bytes: [UInt8]) throws -> [DataRow] {
    var rows: [DataRow] = []
    try RowReader(file: "f", bytes: bytes).forEachRow { rows.append($0) }
    return rows
  }

  private func rows(_ text: String) throws -> [DataRow] { try rows(Array(text.utf8)) }

  private func failure(_ bytes: [UInt8]) -> Diagnostic? {
    do {
      _ = try rows(bytes)
      return nil
    } catch { return error as? Diagnostic }
  }

  private func failure(_ text: String) -> Diagnostic? { failure(Array(text.utf8)) }

  @Test func lines() throws {
    let found = try rows("{\"a\":1}\n{\"a\":2}\n")
    #expect(found.map(\.number) == [1, 2])
    #expect(found.map { $0.value["a"]?.intValue } == [1, 2])
  }

  @Test func byteOrderMarkCarriageReturnsBlankLinesAndNoLastNewline() throws {
    let found = try rows("\u{FEFF}{\"a\":1}\r\n\r\n  \t\r\n{\"a\":2}")
    #expect(found.map(\.number) == [1, 2])
    #expect(found.map { $0.value["a"]?.intValue } == [1, 2])
  }

  @Test func nothing() throws {
    #expect(try rows("").isEmpty)
    #expect(try rows("\n\n\r\n").isEmpty)
  }

  @Test func array() throws {
    let found = try rows(" [ {\"a\":1},\n{\"a\":2} ]\n")
    #expect(found.map(\.number) == [1, 2])
    #expect(found.map { $0.value["a"]?.intValue } == [1, 2])
  }

  @Test func syntaxNamesRowAndPosition() {
    let problem = failure("{\"a\":1}\n\n{\"a\":}\n")
    #expect(problem?.code == .rowSyntax)
    #expect(problem?.message.hasPrefix("row 2: ") == true)
    #expect(problem?.location == .position(file: "f", line: 3, column: 6))
  }

  @Test func truncatedLine() {
    let problem = failure("{\"a\":1}\n{\"a\":\"no end")
    #expect(problem?.code == .rowSyntax)
    #expect(problem?.message.hasPrefix("row 2: ") == true)
  }

  @Test func rowsAreObjects() {
    #expect(failure("{}\n3\n")?.message == "row 2 should be a JSON object, found a number")
    #expect(failure("[{}, \"x\"]")?.message == "row 2 should be a JSON object, found a string")
    #expect(failure("[{}, \"x\"]")?.location == .position(file: "f", line: 1, column: 6))
  }

  @Test func arraySyntax() {
    #expect(failure("[{\"a\":1},\n {\"a\":]")?.code == .rowSyntax)
    #expect(failure("[{}] x")?.code == .rowSyntax)
  }

  @Test(arguments: [
    ([0xFF], 0), ([0xC3, 0x28], 0), ([0xE2, 0x82], 0), ([0xC3, 0xA4, 0x80], 2),
    ([0xED, 0xA0, 0x80], 0), ([0xF5, 0x80, 0x80, 0x80], 0), ([0xC0, 0xAF], 0),
  ] as [([UInt8], Int)])
  func badUTF8NamesItsOffset(_ bad: [UInt8], _ place: Int) {
    let start = Array("{\"a\":1}\n{\"a\":\"é".utf8)
    let problem = failure(start + bad + Array("\"}\n".utf8))
    #expect(problem?.code == .rowEncoding)
    #expect(problem?.message.hasPrefix("row 2 is not UTF-8") == true)
    #expect(problem?.location == .byteOffset(file: "f", offset: start.count + place))
  }

  @Test func badUTF8AtTheVeryEnd() {
    #expect(failure([0x7B, 0xC3])?.location == .byteOffset(file: "f", offset: 1))
  }

  @Test func missingFileAndFolder() throws {
    let folder = try TemporaryFolder()
    let missing = #expect(throws: Diagnostic.self) {
      try RowReader(path: folder.path("none.jsonl"))
    }
    #expect(missing?.code == .dataFileMissing)
    #expect(missing?.code.exitCode == .inputMissing)
    let isFolder = #expect(throws: Diagnostic.self) { try RowReader(path: folder.path("")) }
    #expect(isFolder?.message.contains("folder") == true)
  }
}
