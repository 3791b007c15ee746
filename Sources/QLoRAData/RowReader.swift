// Reads data files row by row, whatever container they are in. It knows no row formats, and keeps
// no more of the file in memory than a row needs.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

/// One object of a data file and where it stands.
package struct DataRow: Sendable {
  package let file: String
  /// Counts the rows of the file from 1, blank lines left out.
  package let number: Int
  package let value: JSONValue

  package init(file: String, number: Int, value: JSONValue) {
    self.file = file
    self.number = number
    self.value = value
  }

  package func failure(
    _ code: DiagnosticCode, _ message: String, remedy: String? = nil
  ) -> Diagnostic {
    Diagnostic(code, message, at: .row(file: file, row: number), remedy: remedy)
  }
}

/// A data file: JSON lines, one JSON array, CSV or Parquet; the texts may be compressed.
///
/// Parquet and compression are known by the first bytes, CSV by the name (`.csv`, or `.tsv` for
/// tabs, before the ending of a compression), an array by its bracket.
package struct RowReader: Sendable {
  package let file: String
  private let store: any ByteStore

  /// - Throws: `Diagnostic` E0401 where there is no such file, E0402 where it can't be read.
  package init(path: String) throws(Diagnostic) {
    let opened = try Self.open(path)
    try opened.checkIsNoPointer(try opened.bytes(0..<min(64, opened.byteCount)))
    store = opened
    file = path
  }

  private static func open(_ path: String) throws(Diagnostic) -> InputFile {
    do throws(Diagnostic) {
      return try InputFile(path: path)
    } catch {
      guard error.code == .fileMissing || error.code == .fileNotRegular else { throw error }
      throw Diagnostic(
        .dataFileMissing,
        error.code == .fileMissing
          ? "no such data file" : "data file expected, found \(InputFile.kind(at: path))",
        at: .file(path), remedy: "check the path")
    }
  }

  package init(file: String, bytes: [UInt8]) {
    self.file = file
    store = MemoryBytes(bytes)
  }

  /// Calls `body` with each row in the file's order.
  ///
  /// A byte order mark at the start, carriage returns at line ends and blank lines are skipped.
  ///
  /// - Parameter limit: rows after which reading ends; nil reads all.
  /// - Throws: `Diagnostic` E0403, E0404 and E0411–E0414 with the row's number or the place in the
  ///   file, and what `body` throws.
  package func forEachRow(limit: Int? = nil, _ body: (DataRow) throws -> Void) throws {
    let visit: RowVisitor = { number, value in
      try body(DataRow(file: file, number: number, value: value))
      return number < limit ?? .max
    }
    let head = try store.bytes(0..<min(4, store.byteCount))
    if head == ParquetFile.magic { return try ParquetFile(store, file: file).forEach(visit) }
    var text = TextBuffer(try decompressed(head), file: file)
    try skipMark(&text)
    if let separator {
      var rows = CSVRows(text, separator: separator)
      return try rows.forEach(visit)
    }
    let place = try text.distance(from: 0) { !TextBytes.isBlank($0) }
    if let place, try text.peek(place) == UInt8(ascii: "[") {
      var rows = JSONArrayRows(text)
      return try rows.forEach(visit)
    }
    if let place, try text.peek(place) == 0 {
      throw Diagnostic(
        .rowSyntax, "there are zero bytes where the first row should be", at: .file(file),
        remedy: "the file was reserved and never written, or was copied in part; get it again")
    }
    var rows = JSONLines(text: text)
    try rows.forEach(visit)
  }

  private func decompressed(_ head: [UInt8]) throws(Diagnostic) -> any ByteStream {
    let stored = StoredBytes(store)
    if head.starts(with: [0x1F, 0x8B]) { return GzipBytes(stored, file: file) }
    if head == [0x28, 0xB5, 0x2F, 0xFD] { return ZstdBytes(stored, file: file) }
    return stored
  }

  /// Passes over a byte order mark, and refuses a table that was compressed as a whole.
  private func skipMark(_ text: inout TextBuffer) throws(Diagnostic) {
    guard try text.peek(3) != nil || text.unread == 3 else { return }
    if text.prefix(3).elementsEqual([0xEF, 0xBB, 0xBF]) { text.skip(3) }
    guard text.unread > 3, text.prefix(4).elementsEqual(ParquetFile.magic) else { return }
    throw Diagnostic(
      .tableUnsupported, "a Parquet file inside a compressed file", at: .file(file),
      remedy: "decompress it: Parquet compresses its own columns")
  }

  /// What parts the fields, where the name says that the file is a table in text.
  private var separator: UInt8? {
    var name = file.lowercased()
    for ending in [".gz", ".zst", ".zstd"] where name.hasSuffix(ending) {
      name.removeLast(ending.count)
    }
    if name.hasSuffix(".csv") { return UInt8(ascii: ",") }
    return name.hasSuffix(".tsv") ? UInt8(ascii: "\t") : nil
  }
}
