// A hash table from byte strings to integers. Swift's String keys compare by canonical equivalence,
// which would make different tokens equal, and need an allocation per lookup of a slice.

struct ByteTable: Sendable {
  /// A place of the table. Words and tokens are short: most are found by looking at this alone.
  private struct Slot: Sendable {
    /// Up to seven bytes with their number above them; of longer keys 0xFF and bits of their hash.
    var key: UInt64 = 0
    /// Entry plus one; 0 where the slot is free.
    var entry: UInt32 = 0
    var value: Int32 = 0
  }

  /// The keys, one after the other: key k is `arena[ends[k - 1]..<ends[k]]`.
  private(set) var arena: [UInt8] = []
  private var ends: [UInt32] = []
  /// A power of two, at most half full.
  private var slots: [Slot]
  private var shift: UInt64

  init(minimumCapacity: Int = 32) {
    (slots, shift) = ([], 64)
    resize(minimumCapacity)
  }

  /// Entries, those with the key of an earlier one included.
  var count: Int { ends.count }
  var byteCount: Int { arena.count }

  mutating func reserve(entries: Int, bytes: Int) {
    arena.reserveCapacity(bytes)
    ends.reserveCapacity(entries)
    if slots.count < entries * 2 { resize(entries) }
  }

  func key(_ entry: Int) -> Range<Int> {
    (entry == 0 ? 0 : Int(ends[entry - 1]))..<Int(ends[entry])
  }

  @inline(__always)
  func value(of bytes: [UInt8]) -> Int32? { value(of: bytes, 0..<bytes.count) }

  @inline(__always)
  func value(of bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    let slot = slots[place(of: bytes, range, Self.packed(bytes, range))]
    return slot.entry == 0 ? nil : slot.value
  }

  /// Adds an entry; of equal keys the first is found.
  mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ value: Int32) {
    let packed = Self.packed(bytes, range)
    let place = place(of: bytes, range, packed)
    arena.append(contentsOf: bytes[range])
    ends.append(UInt32(truncatingIfNeeded: arena.count))
    guard slots[place].entry == 0 else { return }
    slots[place] = Slot(key: packed, entry: UInt32(ends.count), value: value)
    if ends.count * 2 > slots.count { resize(slots.count) }
  }

  mutating func insert(_ bytes: [UInt8], _ value: Int32) { insert(bytes, 0..<bytes.count, value) }

  /// Makes room for so many entries; what a slot holds tells where it belongs.
  private mutating func resize(_ capacity: Int) {
    var bits: UInt64 = 6
    while 1 << bits < capacity * 2 { bits += 1 }
    let old = slots
    slots = [Slot](repeating: Slot(), count: 1 << Int(bits))
    shift = 64 - bits
    for slot in old where slot.entry > 0 {
      var place = start(slot.key)
      while slots[place].entry > 0 { place = (place + 1) & (slots.count - 1) }
      slots[place] = slot
    }
  }

  /// Fibonacci hashing: the golden ratio's fraction spreads what differs in few bits.
  @inline(__always)
  private func start(_ packed: UInt64) -> Int {
    let mixed = (packed ^ (packed >> 29)) &* 0x9E37_79B9_7F4A_7C15
    return Int(truncatingIfNeeded: mixed >> shift)
  }

  /// The slot that holds the key, or the free one where it belongs.
  @inline(__always)
  private func place(of bytes: [UInt8], _ range: Range<Int>, _ packed: UInt64) -> Int {
    let mask = slots.count - 1
    var place = start(packed)
    while slots[place].entry != 0 {
      if slots[place].key == packed,
        range.count <= Self.shortKey || matches(key(Int(slots[place].entry) - 1), bytes, range)
      {
        return place
      }
      place = (place + 1) & mask
    }
    return place
  }

  private func matches(_ key: Range<Int>, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard key.count == range.count else { return false }
    for step in 0..<key.count
    where arena[key.lowerBound + step] != bytes[range.lowerBound + step] {
      return false
    }
    return true
  }

  /// Keys up to this length are packed whole.
  private static let shortKey = 7

  @inline(__always)
  private static func packed(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    if range.count <= shortKey {
      var packed = UInt64(range.count)
      for index in range { packed = packed << 8 | UInt64(bytes[index]) }
      return packed
    }
    // FNV-1a with a final mix.
    var state: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in range { state = (state ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3 }
    return (state ^ (state >> 29)) | 0xFF00_0000_0000_0000
  }
}
