// Why bytes are not what their container says; the reader of the file adds the place.

struct Damage: Error {
  let message: String

  init(_ message: String) { self.message = message }
}

/// Bytes read from front to back within bounds.
struct ByteCursor {
  let bytes: [UInt8]
  private(set) var position: Int
  let end: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    self.bytes = bytes
    position = range.lowerBound
    end = range.upperBound
  }

  init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

  var left: Int { end - position }

  mutating func byte() throws(Damage) -> UInt8 {
    guard position < end else { throw Damage("the bytes end too early") }
    defer { position += 1 }
    return bytes[position]
  }

  /// The place of the next `count` bytes, which are passed over.
  mutating func take(_ count: Int) throws(Damage) -> Range<Int> {
    guard count >= 0, count <= left else { throw Damage("the bytes end too early") }
    defer { position += count }
    return position..<position + count
  }

  /// A little-endian integer of 1…8 bytes.
  mutating func littleEndian(_ count: Int) throws(Damage) -> UInt64 {
    let range = try take(count)
    return range.reversed().reduce(0) { $0 << 8 | UInt64(bytes[$1]) }
  }

  /// A length of 4 bytes.
  mutating func length() throws(Damage) -> Int { Int(try littleEndian(4)) }

  /// Seven bits a byte, the lowest first.
  mutating func varint() throws(Damage) -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: 0, to: 64, by: 7) {
      let byte = try byte()
      value |= UInt64(byte & 0x7F) << UInt64(shift)
      if byte < 0x80 { return value }
    }
    throw Damage("a number has too many bytes")
  }

  /// A varint that is a count or a length.
  mutating func count() throws(Damage) -> Int {
    let value = try varint()
    guard value <= UInt64(Int32.max) else { throw Damage("a count of \(value)") }
    return Int(value)
  }

  /// Signs in the lowest bit.
  mutating func zigzag() throws(Damage) -> Int64 {
    let value = try varint()
    return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
  }

  /// `width` bits that begin `bit` bits after the cursor, the lowest first; at most 64.
  func bits(at bit: Int, width: Int) throws(Damage) -> UInt64 {
    var value: UInt64 = 0
    var done = 0
    while done < width {
      let place = position + (bit + done) >> 3
      guard place < end else { throw Damage("the bytes end too early") }
      let shift = (bit + done) & 7
      let taken = min(8 - shift, width - done)
      let part = UInt64(bytes[place] >> UInt8(shift)) & (1 << UInt64(taken) - 1)
      value |= part << UInt64(done)
      done += taken
    }
    return value
  }
}
