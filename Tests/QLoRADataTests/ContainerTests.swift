// Files of rows in every container: the same rows come out, and damage is an error with its place.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import TestSupport
import Testing

struct ContainerTests {
  private static func rows(_ file: String, _ bytes: [UInt8]) throws -> [JSONValue] {
    var rows: [JSONValue] = []
    try RowReader(file: file, bytes: bytes).forEachRow { row in
      #expect(row.number == rows.count + 1)
      rows.append(row.value)
    }
    return rows
  }

  private static func golden(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: Goldens.url("tables/\(name)")))
  }

  private static func failure(_ file: String, _ bytes: [UInt8]) -> Diagnostic? {
    do {
      _ = try rows(file, bytes)
      return nil
    } catch { return error as? Diagnostic }
  }

  @Test(arguments: [
    "rows.jsonl.gz", "rows.jsonl.zst", "none-v1-dictionary.parquet", "snappy-v1-dictionary.parquet",
    "zstd-v2-dictionary.parquet", "gzip-v1-plain.parquet", "lz4-v2-delta.parquet",
    "none-v2-prefix.parquet", "snappy-v2-split.parquet",
  ])
  func theSameRows(_ name: String) throws {
    let expected = try Self.rows("rows.jsonl", try Self.golden("rows.jsonl"))
    #expect(expected.count == 40)
    // The first bytes tell what a file is, its name does not.
    #expect(try Self.rows("rows.bin", try Self.golden(name)) == expected)
  }

  @Test func brotliNamesTheRemedy() throws {
    let problem = Self.failure("t", try Self.golden("brotli-v1-dictionary.parquet"))
    #expect(problem?.code == .tableUnsupported)
    #expect(problem?.message.contains("BROTLI") == true)
    #expect(problem?.remedy?.contains("zstd") == true)
  }

  @Test(arguments: ["rows.jsonl.gz", "rows.jsonl.zst"])
  func aCutStreamIsDamaged(_ name: String) throws {
    let whole = try Self.golden(name)
    let problem = Self.failure("t", Array(whole.dropLast(5)))
    #expect(problem?.code == .compressionDamaged || problem?.code == .rowSyntax)
    var flipped = whole
    flipped[whole.count / 2] ^= 0x55
    #expect(Self.failure("t", flipped) != nil)
  }

  /// A thousand bytes that would become a gibibyte without a line end: refused at the limit.
  @Test func aBombIsRefused() throws {
    let bomb = try Self.golden("bomb.zst")
    #expect(bomb.count < 64 << 10)
    #expect(Self.failure("t", bomb)?.code == .rowTooLarge)
  }

  @Test func aCompressedTableIsRefused() throws {
    let problem = Self.failure("t", try Self.golden("table.parquet.gz"))
    #expect(problem?.code == .tableUnsupported)
  }

  @Test func aCutTableIsDamaged() throws {
    let whole = try Self.golden("snappy-v1-dictionary.parquet")
    for length in [4, 11, 12, 100, whole.count - 1] {
      #expect(Self.failure("t", Array(whole[..<length]))?.code == .tableDamaged)
    }
  }

  @Test func anErrorInATableNamesRowColumnAndByte() throws {
    var bytes = try Self.golden("none-v1-dictionary.parquet")
    // The first page begins behind the magic; its values are the dictionary of texts.
    let place = try #require(bytes.firstRange(of: Array("café".utf8))?.lowerBound)
    bytes[place] = 0xFF
    let problem = try #require(Self.failure("t.parquet", bytes))
    #expect(problem.code == .tableDamaged)
    #expect(problem.message.contains("column \"text\""))
    #expect(problem.message.contains("UTF-8"))
  }

  @Test func theLimitEndsReading() throws {
    for name in ["rows.jsonl", "zstd-v2-dictionary.parquet"] {
      var count = 0
      try RowReader(file: name, bytes: try Self.golden(name)).forEachRow(limit: 7) { _ in
        count += 1
      }
      #expect(count == 7)
    }
  }

  /// Elements that span pieces, hold brackets in strings, and stand on lines of their own.
  @Test func arraysAreReadElementByElement() throws {
    let long = String(repeating: "],}\\\"[", count: 60_000)
    let text = "\n[{\"a\":\"\(long)\"} ,\n  {\"b\":[1,[2,{\"c\":\"]\"}]]}\n]\n"
    let rows = try Self.rows("f", Array(text.utf8))
    #expect(rows.count == 2)
    #expect(rows[0]["a"]?.stringValue?.utf8.count == 5 * 60_000)
    let wrong = Self.failure("f", Array("[{\"a\":1},\n  {\"b\":x}]".utf8))
    #expect(wrong?.location == .position(file: "f", line: 2, column: 8))
    for text in ["[{},]", "[,{}]", "[{} {}]", "[{}", "[", "[{}]]"] {
      #expect(Self.failure("f", Array(text.utf8))?.code == .rowSyntax, "\(text)")
    }
    #expect(try Self.rows("f", Array("[ ]".utf8)).isEmpty)
  }
}
