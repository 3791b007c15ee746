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
  /// Whether two entries have equal keys.
  private(set) var hasEqualKeys = false

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

  /// Appends the values of many keys, -1 where there is none.
  func values(of bytes: [UInt8], _ ranges: [Range<Int>], into values: inout [Int32]) {
    withUnsafeTemporaryAllocation(of: Fetched.self, capacity: ranges.count) { fetched in
      fetch(bytes, ranges, into: fetched)
      for (range, first) in zip(ranges, fetched) {
        if first.slot.entry == 0 {
          values.append(-1)
        } else if first.slot.key == first.packed, range.count <= Self.shortKey {
          values.append(first.slot.value)
        } else {
          let slot = slots[place(of: bytes, range, first.packed)]
          values.append(slot.entry == 0 ? -1 : slot.value)
        }
      }
    }
  }

  /// Adds an entry; of equal keys the first is found.
  mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ value: Int32) {
    insert(bytes, range, value, Self.packed(bytes, range))
  }

  /// Adds many entries.
  mutating func insert(_ bytes: [UInt8], _ ranges: [Range<Int>], _ values: [Int]) {
    if (ends.count + ranges.count) * 2 > slots.count { resize(ends.count + ranges.count) }
    withUnsafeTemporaryAllocation(of: Fetched.self, capacity: ranges.count) { fetched in
      fetch(bytes, ranges, into: fetched)
      for (index, range) in ranges.enumerated() {
        insert(bytes, range, Int32(truncatingIfNeeded: values[index]), fetched[index].packed)
      }
    }
  }

  /// A packed key and what its first place holds.
  private typealias Fetched = (packed: UInt64, slot: Slot)

  /// Of a large table each place is far away: those of several keys are fetched before the first
  /// is looked at.
  @inline(never)
  private func fetch(
    _ bytes: [UInt8], _ ranges: [Range<Int>], into fetched: UnsafeMutableBufferPointer<Fetched>
  ) {
    for (index, range) in ranges.enumerated() {
      let packed = Self.packed(bytes, range)
      fetched.initializeElement(at: index, to: (packed, slots[start(packed)]))
    }
  }

  private mutating func insert(
    _ bytes: [UInt8], _ range: Range<Int>, _ value: Int32, _ packed: UInt64
  ) {
    let place = place(of: bytes, range, packed)
    bytes.withUnsafeBufferPointer { arena.append(contentsOf: $0[range]) }
    ends.append(UInt32(truncatingIfNeeded: arena.count))
    guard slots[place].entry == 0 else {
      hasEqualKeys = true
      return
    }
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
    Int(truncatingIfNeeded: ((packed ^ (packed >> 29)) &* 0x9E37_79B9_7F4A_7C15) >> shift)
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

  /// Whether a key is that range of `bytes`.
  @inline(__always)
  func matches(_ key: Range<Int>, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard key.count == range.count else { return false }
    return arena.withUnsafeBytes { arena in
      bytes.withUnsafeBytes { bytes in
        var step = 0
        while step + 8 <= range.count {
          let known = Self.eightBytes(arena, key.lowerBound + step)
          guard known == Self.eightBytes(bytes, range.lowerBound + step) else { return false }
          step += 8
        }
        while step < range.count {
          guard arena[key.lowerBound + step] == bytes[range.lowerBound + step] else { return false }
          step += 1
        }
        return true
      }
    }
  }

  /// Keys up to this length are packed whole.
  private static let shortKey = 7

  @inline(__always)
  private static func packed(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    bytes.withUnsafeBytes { bytes in
      range.count <= shortKey ? short(bytes, range) : hash(bytes, range)
    }
  }

  @inline(__always)
  private static func short(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64 {
    let count = UInt64(truncatingIfNeeded: range.count) << 56
    if range.lowerBound + 8 <= bytes.count {
      let unused = UInt64(truncatingIfNeeded: 64 - 8 * range.count)
      return count | (eightBytes(bytes, range.lowerBound) << unused) >> unused
    }
    var packed = count
    for (place, index) in range.enumerated() { packed |= UInt64(bytes[index]) << UInt64(8 * place) }
    return packed
  }

  /// Eight bytes at a time, the last eight of them perhaps again, then a final mix.
  @inline(__always)
  private static func hash(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64 {
    var state = UInt64(truncatingIfNeeded: range.count)
    var index = range.lowerBound
    let last = range.upperBound - 8
    while index < last {
      state = mixed(state ^ eightBytes(bytes, index))
      index += 8
    }
    return mixed(state ^ eightBytes(bytes, last)) | 0xFF00_0000_0000_0000
  }

  /// The golden ratio's fraction spreads bits upwards, the shift brings them down again.
  @inline(__always)
  private static func mixed(_ value: UInt64) -> UInt64 {
    let product = value &* 0x9E37_79B9_7F4A_7C15
    return product ^ (product >> 32)
  }

  @inline(__always)
  private static func eightBytes(_ bytes: UnsafeRawBufferPointer, _ index: Int) -> UInt64 {
    UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
  }
}
