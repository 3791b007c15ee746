// A hash table from pairs of token ids to what their merge gives.

struct MergeTable: Sendable {
  private struct Slot: Sendable {
    var pair: UInt64
    var merge: UInt64
  }

  /// A power of two, at most two thirds full: pairs that are none are asked for most.
  private var slots: [Slot]
  private let shift: UInt64

  init(_ merges: MergeList) {
    var bits: UInt64 = 6
    while 1 << bits < merges.count + merges.count / 2 { bits += 1 }
    shift = 64 - bits
    // Two ids of all ones never meet: ids are not negative.
    slots = [Slot](repeating: Slot(pair: .max, merge: 0), count: 1 << Int(bits))
    insert(merges)
  }

  /// A merge as one comparable number: the rank above, the id it makes below.
  @inline(__always)
  func merge(_ left: Int32, _ right: Int32) -> UInt64? {
    let key = Self.key(left, right)
    let slot = slots[place(of: key, from: start(key))]
    return slot.pair == .max ? nil : slot.merge
  }

  /// The last of equal pairs wins, as in a dictionary filled in order.
  private mutating func insert(_ merges: MergeList) {
    // Each place is far away: those of a block are fetched before the first is written.
    let block = 64
    var places: [Int] = []
    places.reserveCapacity(block)
    for start in stride(from: 0, to: merges.count, by: block) {
      let ranks = start..<min(start + block, merges.count)
      places.removeAll(keepingCapacity: true)
      for rank in ranks {
        let key = Self.key(merges.lefts[rank], merges.rights[rank])
        let first = self.start(key)
        let found = slots[first].pair
        places.append(found == .max || found == key ? first : first + 1)
      }
      for (rank, first) in zip(ranks, places) {
        let key = Self.key(merges.lefts[rank], merges.rights[rank])
        slots[place(of: key, from: first)] = Slot(
          pair: key, merge: UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merges.results[rank])))
      }
    }
  }

  /// The slot that holds the pair, or the free one where it belongs.
  @inline(__always)
  private func place(of key: UInt64, from first: Int) -> Int {
    var place = first & (slots.count - 1)
    while slots[place].pair != .max, slots[place].pair != key {
      place = (place + 1) & (slots.count - 1)
    }
    return place
  }

  /// Fibonacci hashing: the golden ratio's fraction spreads neighbouring ids.
  @inline(__always)
  private func start(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }
}
