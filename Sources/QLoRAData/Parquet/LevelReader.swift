// Two ways in which Parquet packs small integers, read one number at a time: nothing is allocated
// by what a run says of its length.

/// Runs of one value, and groups of eight values of a few bits: levels and places in a dictionary.
///
/// Source: Apache Parquet, "Encodings.md", run length encoding / bit-packing hybrid.
struct HybridReader {
  private var cursor: ByteCursor
  private let width: Int
  private var left = 0
  private var value = 0
  /// Within groups of bits; nil within a run of one value.
  private var bit: Int?

  init(_ cursor: ByteCursor, width: Int) throws(Damage) {
    guard 0...32 ~= width else { throw Damage("values of \(width) bits") }
    self.cursor = cursor
    self.width = width
  }

  /// Bits that a number of `0...maximum` needs.
  static func width(of maximum: Int) -> Int { Int.bitWidth - maximum.leadingZeroBitCount }

  mutating func next() throws(Damage) -> Int {
    while left == 0 { try beginRun() }
    left -= 1
    guard let place = bit else { return value }
    let found = Int(try cursor.bits(at: place, width: width))
    bit = place + width
    if left == 0 { try endGroups() }
    return found
  }

  private mutating func beginRun() throws(Damage) {
    let head = try cursor.count()
    if head & 1 == 1 {
      // The count of values is bounded, as a count is; so is the place of the last bit.
      left = (head >> 1) * 8
      bit = 0
    } else {
      left = head >> 1
      value = Int(try cursor.littleEndian((width + 7) / 8))
      bit = nil
    }
  }

  /// The last group may be cut short where the values end.
  private mutating func endGroups() throws(Damage) {
    guard let end = bit else { return }
    _ = try cursor.take(min(cursor.left, (end + 7) / 8))
    bit = nil
  }
}

/// Integers as differences, in blocks with a least difference each.
///
/// Source: Apache Parquet, "Encodings.md", delta encoding (DELTA_BINARY_PACKED).
struct DeltaReader {
  private(set) var cursor: ByteCursor
  private let miniblocks: Int
  private let miniblockValues: Int
  /// Values that are still to come.
  private(set) var left: Int
  private var value: Int64
  private var isFirst = true
  private var leastDelta: Int64 = 0
  private var widths: [UInt8] = []
  private var miniblock = 0
  private var bit = 0
  private var inMiniblock = 0

  init(_ cursor: ByteCursor) throws(Damage) {
    var cursor = cursor
    let blockValues = try cursor.count()
    miniblocks = try cursor.count()
    left = try cursor.count()
    value = try cursor.zigzag()
    guard 1...(1 << 24) ~= blockValues, 1...(1 << 12) ~= miniblocks,
      blockValues % miniblocks == 0, blockValues / miniblocks % 8 == 0
    else { throw Damage("blocks of \(blockValues) differences in \(miniblocks) parts") }
    miniblockValues = blockValues / miniblocks
    self.cursor = cursor
  }

  mutating func next() throws(Damage) -> Int64 {
    guard left > 0 else { throw Damage("more values than differences") }
    left -= 1
    if isFirst {
      isFirst = false
      return value
    }
    if inMiniblock == 0 { try beginMiniblock() }
    let width = Int(widths[miniblock])
    let delta = Int64(bitPattern: try cursor.bits(at: bit, width: width))
    bit += width
    inMiniblock -= 1
    value = value &+ leastDelta &+ delta
    if inMiniblock == 0 || left == 0 { try endMiniblock(width) }
    return value
  }

  private mutating func beginMiniblock() throws(Damage) {
    if miniblock == widths.count {
      leastDelta = try cursor.zigzag()
      widths = Array(cursor.bytes[try cursor.take(miniblocks)])
      miniblock = 0
    }
    guard widths[miniblock] <= 64 else { throw Damage("differences of too many bits") }
    inMiniblock = miniblockValues
    bit = 0
  }

  /// The last part is as long as the others, whatever is left in it.
  private mutating func endMiniblock(_ width: Int) throws(Damage) {
    _ = try cursor.take(min(cursor.left, miniblockValues / 8 * width))
    inMiniblock = 0
    miniblock += 1
  }

  /// Where the bytes behind all differences begin.
  func end() throws(Damage) -> ByteCursor {
    var copy = self
    while copy.left > 0 { try copy.skipMiniblock() }
    return copy.cursor
  }

  private mutating func skipMiniblock() throws(Damage) {
    if isFirst {
      isFirst = false
      left -= 1
      return
    }
    try beginMiniblock()
    left -= min(left, inMiniblock)
    try endMiniblock(Int(widths[miniblock]))
  }
}
