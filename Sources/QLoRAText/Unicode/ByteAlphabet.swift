// The 256 printable characters by which byte-level vocabularies spell bytes.
// Source: Radford et al. 2019, the GPT-2 encoder's byte-to-character table.

enum ByteAlphabet {
  /// The character of each byte: itself where printable in Latin-1, else the next from U+0100 on.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      let isPrintable =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      if isPrintable { return Unicode.Scalar(UInt8(byte)) }
      defer { next += 1 }
      return Unicode.Scalar(next) ?? "\u{FFFD}"
    }
  }()

  /// The inverse of `scalars`, by scalar value; -1 where a scalar stands for no byte.
  private static let bytes: [Int16] = {
    // 0x100 characters of Latin-1 and the 68 that stand for the unprintable bytes.
    var table = [Int16](repeating: -1, count: 0x100 + 68)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
    return table
  }()

  /// The bytes a vocabulary entry spells; nil where a character stands for no byte.
  static func bytes(of text: ArraySlice<UInt8>) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var index = text.startIndex
    while index < text.endIndex {
      var value = Int(text[index])
      index += 1
      if value >= 0x80 {
        // The alphabet ends below U+0800, where characters of three bytes begin.
        guard value < 0xE0, index < text.endIndex else { return nil }
        value = (value & 0x1F) << 6 | Int(text[index] & 0x3F)
        index += 1
      }
      guard value < bytes.count, bytes[value] >= 0 else { return nil }
      result.append(UInt8(bytes[value]))
    }
    return result
  }

  static func text(of bytes: some Sequence<UInt8>) -> String {
    var result = String.UnicodeScalarView()
    for byte in bytes { result.append(scalars[Int(byte)]) }
    return String(result)
  }
}
