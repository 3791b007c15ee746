// Walking over the characters of valid UTF-8 bytes.

/// One character of valid UTF-8 bytes.
struct DecodedScalar {
  let scalar: Unicode.Scalar
  /// How many bytes it takes.
  let count: Int

  /// Reads the character that begins at `index`; the bytes come from a `String`, so are valid.
  @inline(__always)
  init(_ bytes: [UInt8], at index: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 {
      self.init(first, 1)
    } else if first < 0xE0 {
      self.init((first & 0x1F) << 6 | Self.tail(bytes, index + 1), 2)
    } else if first < 0xF0 {
      let middle = Self.tail(bytes, index + 1) << 6
      self.init((first & 0x0F) << 12 | middle | Self.tail(bytes, index + 2), 3)
    } else {
      let middle = Self.tail(bytes, index + 1) << 12 | Self.tail(bytes, index + 2) << 6
      self.init((first & 0x07) << 18 | middle | Self.tail(bytes, index + 3), 4)
    }
  }

  /// The character that ends just before `index`.
  init(_ bytes: [UInt8], before index: Int) {
    var start = index - 1
    while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    self.init(bytes, at: start)
  }

  private init(_ value: UInt32, _ count: Int) {
    scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
    self.count = count
  }

  @inline(__always)
  private static func tail(_ bytes: [UInt8], _ index: Int) -> UInt32 {
    UInt32(bytes[index] & 0x3F)
  }

  /// How many bytes the character has that begins with `first`.
  @inline(__always)
  static func length(_ first: UInt8) -> Int {
    first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
  }

  /// Calls `body` with each character of a range and its place.
  @inline(__always)
  static func forEach(
    _ bytes: [UInt8], _ range: Range<Int>, _ body: (Unicode.Scalar, Range<Int>) -> Void
  ) {
    var index = range.lowerBound
    while index < range.upperBound {
      let next = DecodedScalar(bytes, at: index)
      body(next.scalar, index..<index + next.count)
      index += next.count
    }
  }
}
