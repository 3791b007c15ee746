// The tokens of a model: their texts by id and their ids by text, as the file spells them. Added
// tokens are not among them.

struct Vocabulary: Sendable {
  /// Texts to ids; of equal texts the first.
  private(set) var table: ByteTable
  /// The table's entry of each id; -1 where an id has no token.
  private var entries: [Int32] = []

  init(minimumCapacity: Int = 32) { table = ByteTable(minimumCapacity: minimumCapacity) }

  init(_ texts: some Sequence<String>) {
    self.init()
    for (id, text) in texts.enumerated() { insert(Array(text.utf8), id) }
  }

  /// One more than the highest id.
  var count: Int { entries.count }
  /// How many tokens there are.
  var tokenCount: Int { table.count }

  mutating func reserve(tokens: Int, bytes: Int) {
    table.reserve(entries: tokens, bytes: bytes)
    entries.reserveCapacity(tokens)
  }

  mutating func insert(_ bytes: [UInt8], _ id: Int) { insert(bytes, 0..<bytes.count, id) }

  mutating func insert(_ bytes: [UInt8], _ range: Range<Int>, _ id: Int) {
    while id >= entries.count { entries.append(-1) }
    entries[id] = Int32(table.count)
    table.insert(bytes, range, Int32(id))
  }

  /// Adds the tokens of a block of a file.
  mutating func insert(_ block: TokenBlock, ids: [Int]) {
    var known: [Int32] = []
    // Fetches the places of the table, too.
    table.values(of: block.bytes, block.ranges, into: &known)
    for (range, id) in zip(block.ranges, ids) { insert(block.bytes, range, id) }
  }

  /// The ids of a block of a file, -1 for what is no token.
  func ids(of block: TokenBlock, into ids: inout [Int32]) {
    table.values(of: block.bytes, block.ranges, into: &ids)
  }

  func id(of bytes: [UInt8]) -> Int32? { table.value(of: bytes) }
  func id(of bytes: [UInt8], _ range: Range<Int>) -> Int32? { table.value(of: bytes, range) }
  func id(of text: String) -> Int32? { table.value(of: Array(text.utf8)) }

  /// Whether that text gives this id; false says nothing.
  @inline(__always)
  func surelyGives(_ id: Int32, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    guard !table.hasEqualKeys, entries.indices.contains(Int(id)), entries[Int(id)] >= 0 else {
      return false
    }
    return table.matches(table.key(Int(entries[Int(id)])), bytes, range)
  }

  /// The bytes of a token's text; none for an id without a token.
  func bytes(of id: Int32) -> ArraySlice<UInt8> {
    guard entries.indices.contains(Int(id)), entries[Int(id)] >= 0 else { return [] }
    return table.arena[table.key(Int(entries[Int(id)]))]
  }

  func contains(_ id: Int32) -> Bool {
    entries.indices.contains(Int(id)) && entries[Int(id)] >= 0
  }

  func text(of id: Int32) -> String { String(decoding: bytes(of: id), as: UTF8.self) }

  /// Whether every text is UTF-8 for itself.
  var isUTF8: Bool {
    // Valid as a whole, and no text begins inside a character: then each is valid.
    for entry in 0..<table.count {
      let key = table.key(entry)
      if let first = key.first, table.arena[first] & 0xC0 == 0x80 { return false }
    }
    return table.arena.withUnsafeBufferPointer {
      $0.allSatisfy { $0 < 0x80 } || String(validating: $0, as: UTF8.self) != nil
    }
  }
}

/// Some texts of a file, one after the other, that a table is asked for together.
struct TokenBlock {
  /// So many that the places of one block fit into the fastest cache.
  static let size = 64

  private(set) var bytes: [UInt8] = []
  private(set) var ranges: [Range<Int>] = []

  var isFull: Bool { ranges.count >= Self.size }

  mutating func append(_ text: [UInt8]) {
    let start = bytes.count
    bytes.append(contentsOf: text)
    ranges.append(start..<bytes.count)
  }

  /// Appends the two parts of a text.
  mutating func append(_ text: [UInt8], cutAt middle: Int) {
    let start = bytes.count
    bytes.append(contentsOf: text)
    ranges.append(start..<start + middle)
    ranges.append(start + middle..<bytes.count)
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    ranges.removeAll(keepingCapacity: true)
  }
}
