// The encoded rows of a run, as many as there are: packed in memory, or in a file where they are
// too many for it. Whoever reads them can't tell.
import QLoRADiagnostics
import QLoRASystem

/// How much of memory rows may take, and where they go beyond that.
package struct RowMemory: Sendable {
  /// Rows of sixty million tokens; most datasets are smaller.
  package static let usualBytes = 256 << 20

  /// Of packed rows.
  let byteCount: Int
  /// For a file without a name.
  let folder: String

  package init(byteCount: Int = usualBytes, folder: String) {
    self.byteCount = byteCount
    self.folder = folder
  }
}

/// Rows in an order of their own, each read when it is asked for.
package struct EncodedRows: Sendable {
  private let store: PackedRows
  /// Places in the store; nil takes all in its order.
  private let chosen: [Int32]?

  fileprivate init(_ store: PackedRows, chosen: [Int32]? = nil) {
    self.store = store
    self.chosen = chosen
  }

  /// Keeps the rows in memory, without their answers.
  package init(_ rows: [EncodedRow]) {
    var builder = EncodedRowsBuilder()
    for row in rows { builder.pack(row) }
    self = builder.inMemory
  }

  package var count: Int { chosen?.count ?? store.entries.count }
  package var isEmpty: Bool { count == 0 }
  /// Tokens of each row.
  package var lengths: [Int] { (0..<count).map { Int(entry($0).tokenCount) } }
  /// Whether a file holds them.
  package var isSpilled: Bool { store.file != nil }

  private func place(_ index: Int) -> Int { chosen.map { Int($0[index]) } ?? index }

  private func entry(_ index: Int) -> PackedRows.Entry { store.entries[place(index)] }

  package func source(_ index: Int) -> Int { Int(entry(index).source) }
  package func number(_ index: Int) -> Int { entry(index).number }

  /// - Throws: where the file can't be read.
  package func row(_ index: Int) throws(Diagnostic) -> EncodedRow {
    let entry = entry(index)
    let bytes = try store.bytes(place(index))
    return PackedRow.read(
      bytes, count: Int(entry.tokenCount), source: Int(entry.source), number: entry.number)
  }

  package func all() throws(Diagnostic) -> [EncodedRow] {
    var rows: [EncodedRow] = []
    for index in 0..<count { rows.append(try row(index)) }
    return rows
  }

  /// Some of the rows in another order.
  package func choosing(_ indices: [Int]) -> EncodedRows {
    EncodedRows(store, chosen: indices.map { Int32(place($0)) })
  }
}

/// The packed bytes and where each row begins in them.
private struct PackedRows: Sendable {
  struct Entry: Sendable {
    let offset: Int
    let number: Int
    let tokenCount: Int32
    let source: Int32
  }

  let entries: [Entry]
  let byteCount: Int
  /// What is in memory, in pieces of whole rows with the offset of each.
  let pieces: [[UInt8]]
  let pieceStarts: [Int]
  let file: InputFile?

  func bytes(_ index: Int) throws(Diagnostic) -> ArraySlice<UInt8> {
    let start = entries[index].offset
    let end = index + 1 < entries.count ? entries[index + 1].offset : byteCount
    if let file { return try file.bytes(start..<end)[...] }
    var low = 0
    var high = pieceStarts.count - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if pieceStarts[middle] <= start { low = middle } else { high = middle - 1 }
    }
    return pieces[low][start - pieceStarts[low]..<end - pieceStarts[low]]
  }
}

/// Takes rows one by one.
package struct EncodedRowsBuilder {
  /// Of a piece: large writes, and little to copy where an array grows.
  private static let pieceBytes = 1 << 20

  private let memory: RowMemory?
  private var entries: [PackedRows.Entry] = []
  private var piece: [UInt8] = []
  private var pieces: [[UInt8]] = []
  private var starts: [Int] = []
  private var pieceStart = 0
  private var file: SpillFile?

  /// - Parameter memory: nil keeps all rows in memory.
  package init(_ memory: RowMemory? = nil) { self.memory = memory }

  package var isEmpty: Bool { entries.isEmpty }

  /// - Throws: where the file that rows go to can't be written.
  package mutating func append(_ row: EncodedRow) throws {
    pack(row)
    guard piece.count >= Self.pieceBytes else { return }
    try endPiece()
  }

  fileprivate mutating func pack(_ row: EncodedRow) {
    entries.append(
      PackedRows.Entry(
        offset: pieceStart + piece.count, number: row.number,
        tokenCount: Int32(row.tokens.count), source: Int32(row.source)))
    PackedRow.append(row, to: &piece)
  }

  private mutating func endPiece() throws {
    let start = pieceStart
    pieceStart += piece.count
    if let file {
      try file.append(piece)
    } else {
      starts.append(start)
      pieces.append(piece)
      if let memory, pieceStart > memory.byteCount { try spill(to: memory.folder) }
    }
    piece.removeAll(keepingCapacity: true)
  }

  private mutating func spill(to folder: String) throws {
    let file = try SpillFile(in: folder)
    for piece in pieces { try file.append(piece) }
    self.file = file
    pieces = []
    starts = []
  }

  package mutating func finish() throws -> EncodedRows {
    if !piece.isEmpty { try endPiece() }
    return rows
  }

  /// All rows, none of which went to a file.
  fileprivate var inMemory: EncodedRows {
    var copy = self
    copy.starts.append(pieceStart)
    copy.pieces.append(piece)
    copy.pieceStart += piece.count
    return copy.rows
  }

  private var rows: EncodedRows {
    EncodedRows(
      PackedRows(
        entries: entries, byteCount: pieceStart, pieces: pieces, pieceStarts: starts,
        file: file?.reader))
  }
}
