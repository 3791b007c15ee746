// Fields of a protobuf message, one after the other, without a schema or a library.
// Source: the encoding of Protocol Buffers: varints, fixed words, lengths with bytes.

struct ProtobufReader {
  enum Failure: Error { case broken(offset: Int) }

  /// What a field holds, by its wire type.
  enum Value {
    case number(UInt64)
    case word(UInt32)
    case bytes(Range<Int>)
  }

  private let bytes: [UInt8]
  private let range: Range<Int>
  private var index: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    self.range = range
    index = range.lowerBound
  }

  /// The next field's number and value; nil at the end.
  mutating func next() throws(Failure) -> (field: Int, value: Value)? {
    guard index < range.upperBound else { return nil }
    let start = index
    let key = try varint()
    let field = Int(key >> 3 & 0xFFFF_FFFF)
    guard field > 0 else { throw .broken(offset: start) }
    switch key & 7 {
    case 0: return (field, .number(try varint()))
    case 1:
      let low = try word()
      return (field, .number(UInt64(low) | UInt64(try word()) << 32))
    case 2:
      let count = try varint()
      guard count <= UInt64(range.upperBound - index) else { throw .broken(offset: start) }
      defer { index += Int(count) }
      return (field, .bytes(index..<index + Int(count)))
    case 5: return (field, .word(try word()))
    default: throw .broken(offset: start)
    }
  }

  private mutating func varint() throws(Failure) -> UInt64 {
    var (number, shift) = (UInt64(0), UInt64(0))
    while index < range.upperBound, shift < 64 {
      let byte = bytes[index]
      index += 1
      number |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return number }
      shift += 7
    }
    throw .broken(offset: index)
  }

  private mutating func word() throws(Failure) -> UInt32 {
    guard range.upperBound - index >= 4 else { throw .broken(offset: index) }
    defer { index += 4 }
    return (0..<4).reduce(0) { $0 | UInt32(bytes[index + $1]) << UInt32(8 * $1) }
  }
}
