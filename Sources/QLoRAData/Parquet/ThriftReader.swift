// The compact protocol of Thrift, in which Parquet writes what it says about its data. Fields are
// visited in their order and skipped where nobody asks for them.

/// Source: Apache Thrift, "Thrift Compact protocol encoding" (thrift-compact-protocol.md).
struct ThriftReader {
  enum Kind: UInt8 {
    case yes = 1, no, byte, short, int, long, double, binary, list, set, map, structure
  }

  struct Field {
    let id: Int
    let kind: Kind
  }

  /// Structures in structures: the format has five.
  private static let maximumDepth = 24

  private(set) var cursor: ByteCursor

  init(_ cursor: ByteCursor) { self.cursor = cursor }

  /// - Parameter last: the id of the field before; 0 before the first.
  /// - Returns: nil at the end of the structure.
  mutating func field(after last: inout Int) throws(Damage) -> Field? {
    let head = try cursor.byte()
    if head == 0 { return nil }
    guard let kind = Kind(rawValue: head & 0x0F) else { throw Damage("an unknown kind of field") }
    let step = Int(head >> 4)
    let id = step > 0 ? last + step : Int(truncatingIfNeeded: try cursor.zigzag())
    guard 0...Int(Int16.max) ~= id else { throw Damage("a field numbered \(id)") }
    last = id
    return Field(id: id, kind: kind)
  }

  mutating func integer(_ field: Field) throws(Damage) -> Int {
    guard [.short, .int, .long].contains(field.kind) else { throw mismatch(field, "an integer") }
    return Int(try cursor.zigzag())
  }

  /// An integer that is a count or a size.
  mutating func count(_ field: Field) throws(Damage) -> Int {
    let value = try integer(field)
    guard value >= 0, value <= 1 << 48 else { throw Damage("a count of \(value)") }
    return value
  }

  func boolean(_ field: Field) throws(Damage) -> Bool {
    guard field.kind == .yes || field.kind == .no else { throw mismatch(field, "a boolean") }
    return field.kind == .yes
  }

  mutating func text(_ field: Field) throws(Damage) -> String {
    guard field.kind == .binary else { throw mismatch(field, "a text") }
    let range = try cursor.take(try cursor.count())
    return String(decoding: cursor.bytes[range], as: UTF8.self)
  }

  /// How many elements the list has that a field is; every element takes at least a byte.
  mutating func list(_ field: Field, of kind: Kind) throws(Damage) -> Int {
    guard field.kind == .list else { throw mismatch(field, "a list") }
    let (count, found) = try listHead()
    guard found == kind || count == 0 else { throw mismatch(field, "a list of \(kind)") }
    return count
  }

  func checkStructure(_ field: Field) throws(Damage) {
    if field.kind != .structure { throw mismatch(field, "a structure") }
  }

  private mutating func listHead() throws(Damage) -> (count: Int, kind: Kind) {
    let head = try cursor.byte()
    let count = head >> 4 == 15 ? try cursor.count() : Int(head >> 4)
    guard let kind = Kind(rawValue: head & 0x0F) else { throw Damage("a list of unknown kind") }
    guard count <= cursor.left else { throw Damage("a list of \(count) elements") }
    return (count, kind)
  }

  mutating func skip(_ field: Field) throws(Damage) { try skip(field.kind, depth: 0) }

  private mutating func skip(_ kind: Kind, depth: Int, isElement: Bool = false) throws(Damage) {
    guard depth < Self.maximumDepth else { throw Damage("structures nested too deeply") }
    switch kind {
    case .yes, .no: if isElement { _ = try cursor.byte() }
    case .byte: _ = try cursor.byte()
    case .short, .int, .long: _ = try cursor.varint()
    case .double: _ = try cursor.take(8)
    case .binary: _ = try cursor.take(try cursor.count())
    case .list, .set:
      let (count, element) = try listHead()
      for _ in 0..<count { try skip(element, depth: depth + 1, isElement: true) }
    case .map:
      let count = try cursor.count()
      guard count > 0 else { return }
      let kinds = try cursor.byte()
      guard count <= cursor.left, let key = Kind(rawValue: kinds >> 4),
        let value = Kind(rawValue: kinds & 0x0F)
      else { throw Damage("a map of unknown kind") }
      for _ in 0..<count {
        try skip(key, depth: depth + 1, isElement: true)
        try skip(value, depth: depth + 1, isElement: true)
      }
    case .structure:
      var last = 0
      while let field = try field(after: &last) { try skip(field.kind, depth: depth + 1) }
    }
  }

  private func mismatch(_ field: Field, _ expected: String) -> Damage {
    Damage("field \(field.id) should be \(expected), found \(field.kind)")
  }
}
