// Reads the numbers that Scripts/tables packs into tables.

/// Numbers of seven bits a byte, the low ones first.
struct PackedNumbers {
  private let bytes: [UInt8]
  private var index = 0

  /// - Parameter base64: text that a script wrote.
  init(base64: StaticString) { bytes = Base64.bytes("\(base64)".utf8) ?? [] }

  mutating func next() -> UInt32 {
    var (number, shift) = (UInt32(0), UInt32(0))
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      number |= UInt32(byte & 0x7F) << shift
      if byte < 0x80 { break }
      shift += 7
    }
    return number
  }

  mutating func scalar() -> Unicode.Scalar { Unicode.Scalar(next()) ?? "\u{FFFD}" }
}
