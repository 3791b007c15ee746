// The values of one page of a column, decoded one at a time from whatever encoding they are in.
import QLoRADiagnostics
import QLoRAJSON

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Values that are stored one after the other, found by their number: a dictionary.
struct ParquetDictionary {
  private let bytes: [UInt8]
  private let leaf: ParquetLeaf
  /// Where each text begins; empty for values of one size.
  private var starts: [Int32] = []
  let count: Int

  init(_ bytes: [UInt8], count: Int, leaf: ParquetLeaf) throws(Damage) {
    self.bytes = bytes
    self.leaf = leaf
    self.count = count
    if let width = leaf.width {
      guard count <= bytes.count / width else { throw Damage("a dictionary of \(count) values") }
      return
    }
    guard leaf.kind == .bytes, count <= bytes.count / 4 else {
      throw Damage("a dictionary of \(count) values")
    }
    var cursor = ByteCursor(bytes)
    for _ in 0..<count {
      starts.append(Int32(cursor.position))
      _ = try cursor.take(try cursor.length())
    }
  }

  func value(_ index: Int) throws(Damage) -> JSONValue {
    guard index < count else { throw Damage("value \(index) of a dictionary of \(count)") }
    let start = leaf.width.map { $0 * index } ?? Int(starts[index])
    var cursor = ByteCursor(bytes, start..<bytes.count)
    return try leaf.plainValue(&cursor)
  }
}

/// Source: Apache Parquet, "Encodings.md".
struct ParquetValues {
  private enum Encoding: Int {
    case plain = 0
    case plainDictionary = 2
    case runLength = 3
    case deltaBinary = 5
    case deltaLength = 6
    case deltaBytes = 7
    case dictionary = 8
    case split = 9
  }

  private let leaf: ParquetLeaf
  private let encoding: Encoding
  private var cursor: ByteCursor
  private var dictionary: ParquetDictionary?
  private var indices: HybridReader?
  private var differences: DeltaReader?
  private var lengths: DeltaReader?
  private var previous: [UInt8] = []
  /// Values taken so far.
  private var taken = 0

  init(
    _ cursor: ByteCursor, encoding: Int, leaf: ParquetLeaf, dictionary: ParquetDictionary?
  ) throws(Damage) {
    guard let encoding = Encoding(rawValue: encoding) else {
      throw Damage("values in an unknown encoding, number \(encoding)")
    }
    self.leaf = leaf
    self.encoding = encoding
    self.cursor = cursor
    // A page without values may be without bytes, too.
    guard cursor.left > 0 else { return }
    switch encoding {
    case .plain: break
    case .plainDictionary, .dictionary:
      guard let dictionary else { throw Damage("places in a dictionary that is not there") }
      self.dictionary = dictionary
      let width = Int(try self.cursor.byte())
      indices = try HybridReader(self.cursor, width: width)
    case .runLength:
      guard leaf.kind == .boolean else { throw mismatch }
      let range = try self.cursor.take(try self.cursor.length())
      indices = try HybridReader(ByteCursor(cursor.bytes, range), width: 1)
    case .deltaBinary:
      guard leaf.kind == .int32 || leaf.kind == .int64 else { throw mismatch }
      differences = try DeltaReader(cursor)
    case .deltaLength:
      guard leaf.kind == .bytes else { throw mismatch }
      let lengths = try DeltaReader(cursor)
      self.lengths = lengths
      self.cursor = try lengths.end()
    case .deltaBytes:
      guard leaf.kind == .bytes || leaf.kind == .fixedBytes else { throw mismatch }
      let prefixes = try DeltaReader(cursor)
      let lengths = try DeltaReader(try prefixes.end())
      differences = prefixes
      self.lengths = lengths
      self.cursor = try lengths.end()
    case .split:
      guard leaf.width != nil else { throw mismatch }
    }
  }

  private var mismatch: Damage { Damage("an encoding that is not for values of this type") }

  mutating func next() throws(Damage) -> JSONValue {
    defer { taken += 1 }
    switch encoding {
    case .plain:
      guard leaf.kind == .boolean else { return try leaf.plainValue(&cursor) }
      return .bool(try cursor.bits(at: taken, width: 1) == 1)
    case .plainDictionary, .dictionary:
      guard let index = try indices?.next(), let dictionary else { throw ended }
      return try dictionary.value(index)
    case .runLength:
      guard let bit = try indices?.next() else { throw ended }
      return .bool(bit == 1)
    case .deltaBinary:
      guard let value = try differences?.next() else { throw ended }
      return leaf.integer(UInt64(bitPattern: value))
    case .deltaLength:
      guard let length = try lengths?.next() else { throw ended }
      return try leaf.text(cursor.bytes[try cursor.take(Int(length))])
    case .deltaBytes:
      return try nextFromPrevious()
    case .split:
      return try nextSplit()
    }
  }

  private var ended: Damage { Damage("fewer values than declared") }

  private mutating func nextFromPrevious() throws(Damage) -> JSONValue {
    guard let prefix = try differences?.next(), let length = try lengths?.next() else {
      throw ended
    }
    guard 0...Int64(previous.count) ~= prefix else {
      throw Damage("a prefix of \(prefix) bytes of \(previous.count)")
    }
    previous.removeLast(previous.count - Int(prefix))
    previous += cursor.bytes[try cursor.take(Int(length))]
    return try leaf.text(previous[...])
  }

  /// The first bytes of all values, then the second, and so on.
  private mutating func nextSplit() throws(Damage) -> JSONValue {
    guard let width = leaf.width else { throw mismatch }
    let count = cursor.left / width
    guard taken < count else { throw ended }
    let value = (0..<width).map { cursor.bytes[cursor.position + $0 * count + taken] }
    var bytes = ByteCursor(value)
    return try leaf.plainValue(&bytes)
  }
}

extension ParquetLeaf {
  /// Bytes of a value; nil where they differ, or are bits.
  fileprivate var width: Int? {
    switch kind {
    case .int32, .float: 4
    case .int64, .double: 8
    case .int96: 12
    case .fixedBytes: byteCount
    case .boolean, .bytes: nil
    }
  }

  fileprivate func plainValue(_ cursor: inout ByteCursor) throws(Damage) -> JSONValue {
    switch kind {
    case .int32, .int64: return integer(try cursor.littleEndian(kind == .int32 ? 4 : 8))
    case .float:
      return Self.number(Double(Float(bitPattern: UInt32(try cursor.littleEndian(4)))))
    case .double: return Self.number(Double(bitPattern: try cursor.littleEndian(8)))
    case .bytes: return try text(cursor.bytes[try cursor.take(try cursor.length())])
    case .int96, .fixedBytes: return try text(cursor.bytes[try cursor.take(width ?? 0)])
    case .boolean: throw Damage("truth values in a dictionary")
    }
  }

  /// Of the low 32 or 64 bits. Dates, times and decimals come as the integers that they are.
  fileprivate func integer(_ bits: UInt64) -> JSONValue {
    switch (kind, isUnsigned) {
    case (.int32, true): .number(JSONNumber(text: "\(UInt32(truncatingIfNeeded: bits))"))
    case (.int32, false): .int(Int(Int32(truncatingIfNeeded: bits)))
    case (_, true): .number(JSONNumber(text: "\(bits)"))
    case (_, false): .int(Int(Int64(bitPattern: bits)))
    }
  }

  /// JSON has no word for what is not finite.
  private static func number(_ value: Double) -> JSONValue {
    value.isFinite ? .double(value) : .null
  }

  /// Text, or base64 of what is declared to be bytes and is no text.
  fileprivate func text(_ bytes: ArraySlice<UInt8>) throws(Damage) -> JSONValue {
    if kind == .bytes, let text = String(validating: bytes, as: UTF8.self) { return .string(text) }
    if isText { throw Damage("a text that is not UTF-8") }
    return .string(Data(bytes).base64EncodedString())
  }
}
