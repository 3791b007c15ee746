// A hash table from pairs of token ids to what their merge gives.

struct MergeTable: Sendable {
  private var keys: [UInt64]
  private var values: [UInt64]
  private let mask: Int

  init(capacity: Int) {
    var size = 64
    while size < capacity * 2 { size *= 2 }
    mask = size - 1
    // Two ids of all ones never meet: ids are not negative.
    keys = [UInt64](repeating: .max, count: size)
    values = [UInt64](repeating: 0, count: size)
  }

  /// A merge as one comparable number: the rank above, the id it makes below.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> UInt64? {
    let key = Self.key(left, right)
    var place = start(key)
    while keys[place] != .max {
      if keys[place] == key { return values[place] }
      place = (place + 1) & mask
    }
    return nil
  }

  /// The last of equal pairs wins, as in a dictionary filled in order.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int, result: Int32) {
    let key = Self.key(left, right)
    var place = start(key)
    while keys[place] != .max, keys[place] != key { place = (place + 1) & mask }
    keys[place] = key
    values[place] = UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result))
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Fibonacci hashing: the golden ratio's fraction spreads neighbouring ids.
  @inline(__always)
  private func start(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
  }
}
