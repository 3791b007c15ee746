// A hash table from pairs of token ids to what their merge gives.

struct MergeTable: Sendable {
  private struct Slot: Sendable {
    var pair: UInt64
    var merge: UInt64
  }

  /// A power of two, at most two thirds full: pairs that are none are asked for most.
  private var slots: [Slot]
  private let shift: UInt64

  init(capacity: Int) {
    var bits: UInt64 = 6
    while 1 << bits < capacity + capacity / 2 { bits += 1 }
    shift = 64 - bits
    // Two ids of all ones never meet: ids are not negative.
    slots = [Slot](repeating: Slot(pair: .max, merge: 0), count: 1 << Int(bits))
  }

  /// A merge as one comparable number: the rank above, the id it makes below.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> UInt64? {
    let slot = slots[place(of: Self.key(left, right))]
    return slot.pair == .max ? nil : slot.merge
  }

  /// The last of equal pairs wins, as in a dictionary filled in order.
  mutating func insert(_ left: Int32, _ right: Int32, rank: Int, result: Int32) {
    let key = Self.key(left, right)
    slots[place(of: key)] = Slot(
      pair: key, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: result)))
  }

  /// The slot that holds the pair, or the free one where it belongs.
  @inline(__always)
  private func place(of key: UInt64) -> Int {
    // Fibonacci hashing: the golden ratio's fraction spreads neighbouring ids.
    var place = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
    while slots[place].pair != .max, slots[place].pair != key {
      place = (place + 1) & (slots.count - 1)
    }
    return place
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
