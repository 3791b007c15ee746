// A set of ASCII characters that costs no counting of references.

/// Bytes below 0x80, without memory of their own.
struct ASCIISet: Sendable, Equatable {
  private var low: UInt64
  private var high: UInt64

  init(low: UInt64 = 0, high: UInt64 = 0) { (self.low, self.high) = (low, high) }

  static let all = ASCIISet(low: .max, high: .max)

  func subtracting(_ other: ASCIISet) -> ASCIISet {
    ASCIISet(low: low & ~other.low, high: high & ~other.high)
  }

  /// Of a byte that is none, nothing.
  mutating func insert(_ byte: UInt8) {
    if byte >= 0x80 { return }
    if byte < 64 { low |= 1 << UInt64(byte) } else { high |= 1 << UInt64(byte & 63) }
  }

  @inline(__always)
  func contains(_ byte: UInt8) -> Bool {
    byte < 0x80 && (byte < 64 ? low : high) >> UInt64(byte & 63) & 1 == 1
  }
}
