// A hash table from byte strings to integers. Swift's String keys compare by canonical equivalence,
// which would make different tokens equal, and need an allocation per lookup of a slice.

struct ByteTable: Sendable {
  /// The keys, one after the other: key k is `arena[ends[k - 1]..<ends[k]]`.
  private(set) var arena: [UInt8] = []
  private var ends: [UInt32] = []
  private var values: [Int32] = []
  /// Upper half: bits of the key's hash; lower half: entry plus one, 0 = free. A power of two, at
  /// most half full.
  private var slots: [UInt64]

  init(minimumCapacity: Int = 32) {
    var size = 64
    while size < minimumCapacity * 2 { size *= 2 }
    slots = [UInt64](repeating: 0, count: size)
  }

  /// Entries, those with the key of an earlier one included.
  var count: Int { values.count }
  var byteCount: Int { arena.count }

  mutating func reserve(entries: Int, bytes: Int) {
    arena.reserveCapacity(bytes)
    ends.reserveCapacity(entries)
    values.reserveCapacity(entries)
    while slots.count < entries * 2 { grow() }
  }

  func key(_ entry: Int) -> Range<Int> {
    (entry == 0 ? 0 : Int(ends[entry - 1]))..<Int(ends[entry])
  }

  func value(_ entry: Int) -> Int32 { values[entry] }

  @inline(__always)
  func value(of bytes: [UInt8]) -> Int32? { value(of: bytes, 0..<bytes.count) }

  @inline(__always)
  func value(of bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    entry(of: bytes, range, hash: Self.hash(bytes, range)).map { values[$0] }
  }

  /// The entry of a key whose hash is known.
  func entry(of bytes: [UInt8], _ range: Range<Int>, hash: UInt64) -> Int? {
    let found = slots[slot(of: bytes, range, hash)]
    return found == 0 ? nil : Int(truncatingIfNeeded: found & 0xFFFF_FFFF) - 1
  }

  /// Adds an entry; of equal keys the first is found.
  mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ value: Int32) {
    let hash = Self.hash(bytes, range)
    let place = slot(of: bytes, range, hash)
    arena.append(contentsOf: bytes[range])
    ends.append(UInt32(truncatingIfNeeded: arena.count))
    values.append(value)
    if slots[place] == 0 { slots[place] = Self.tag(hash) | UInt64(values.count) }
    if values.count * 2 > slots.count { grow() }
  }

  mutating func insert(_ bytes: [UInt8], _ value: Int32) { insert(bytes, 0..<bytes.count, value) }

  private mutating func grow() {
    slots = [UInt64](repeating: 0, count: slots.count * 2)
    for entry in values.indices {
      let range = key(entry)
      let hash = Self.hash(arena, range)
      let place = slot(of: arena, range, hash)
      if slots[place] == 0 { slots[place] = Self.tag(hash) | UInt64(entry + 1) }
    }
  }

  /// The slot that holds the key, or the free one where it belongs.
  @inline(__always)
  private func slot(of bytes: [UInt8], _ range: Range<Int>, _ hash: UInt64) -> Int {
    let mask = slots.count - 1
    let tag = Self.tag(hash)
    var place = Int(truncatingIfNeeded: hash) & mask
    while slots[place] != 0 {
      let slot = slots[place]
      if slot & 0xFFFF_FFFF_0000_0000 == tag {
        let entry = Int(truncatingIfNeeded: slot & 0xFFFF_FFFF) - 1
        if matches(key(entry), bytes, range) { return place }
      }
      place = (place + 1) & mask
    }
    return place
  }

  @inline(__always)
  private func matches(_ key: Range<Int>, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard key.count == range.count else { return false }
    for step in 0..<key.count
    where arena[key.lowerBound + step] != bytes[range.lowerBound + step] {
      return false
    }
    return true
  }

  @inline(__always)
  private static func tag(_ hash: UInt64) -> UInt64 {
    (hash &* 0x9E37_79B9_7F4A_7C15) & 0xFFFF_FFFF_0000_0000
  }

  /// The state of FNV-1a before its first byte; `extend` takes it on, `finish` makes a hash of it.
  static let hashStart: UInt64 = 0xCBF2_9CE4_8422_2325

  @inline(__always)
  static func extend(_ state: UInt64, _ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    var state = state
    for index in range { state = (state ^ UInt64(bytes[index])) &* 0x0000_0100_0000_01B3 }
    return state
  }

  /// A final mix, since only the low bits choose the slot.
  @inline(__always)
  static func finish(_ state: UInt64) -> UInt64 { state ^ (state >> 29) }

  @inline(__always)
  static func hash(_ bytes: [UInt8], _ range: Range<Int>) -> UInt64 {
    finish(extend(hashStart, bytes, range))
  }
}
