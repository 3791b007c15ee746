// A hash table from byte strings to integers. Swift's String keys compare by canonical equivalence,
// which would make different tokens equal, and need an allocation per lookup of a slice.

struct ByteTable: Sendable {
  private struct Entry: Sendable {
    var offset: Int
    var count: Int
    var value: Int32
  }

  private var arena: [UInt8] = []
  private var entries: [Entry] = []
  /// Index into `entries` plus one; 0 = free. A power of two, at most half full.
  private var slots: [Int32]

  init(minimumCapacity: Int = 32) {
    var size = 64
    while size < minimumCapacity * 2 { size *= 2 }
    slots = [Int32](repeating: 0, count: size)
  }

  var count: Int { entries.count }
  var byteCount: Int { arena.count }

  func value(of bytes: [UInt8]) -> Int32? { value(of: bytes, 0..<bytes.count) }

  func value(of bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    let found = slots[slot(of: bytes, range)]
    return found == 0 ? nil : entries[Int(found) - 1].value
  }

  /// Adds an entry; the first of equal keys stays.
  mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ value: Int32) {
    let place = slot(of: bytes, range)
    guard slots[place] == 0 else { return }
    entries.append(Entry(offset: arena.count, count: range.count, value: value))
    arena.append(contentsOf: bytes[range])
    slots[place] = Int32(entries.count)
    if entries.count * 2 > slots.count { grow() }
  }

  mutating func insert(_ bytes: [UInt8], _ value: Int32) { insert(bytes, 0..<bytes.count, value) }

  private mutating func grow() {
    slots = [Int32](repeating: 0, count: slots.count * 2)
    for (index, entry) in entries.enumerated() {
      let place = slot(of: arena, entry.offset..<entry.offset + entry.count)
      slots[place] = Int32(index + 1)
    }
  }

  /// The slot that holds the key, or the free one where it belongs.
  private func slot(of bytes: [UInt8], _ range: Range<Int>) -> Int {
    let mask = slots.count - 1
    var place = Int(truncatingIfNeeded: Self.hash(bytes, range)) & mask
    while slots[place] != 0 {
      let entry = entries[Int(slots[place]) - 1]
      if entry.count == range.count, matches(entry, bytes, range) { return place }
      place = (place + 1) & mask
    }
    return place
  }

  private func matches(_ entry: Entry, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    for step in 0..<entry.count
    where arena[entry.offset + step] != bytes[range.lowerBound + step] {
      return false
    }
    return true
  }

  /// FNV-1a with a final mix, since only the low bits choose the slot.
  private static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    var state: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in range { state = (state ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3 }
    return state ^ (state >> 29)
  }
}

/// A hash table from pairs of token ids to what their merge gives.
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
