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

  /// Adds several tokens of a file.
  mutating func insert(_ bytes: [UInt8], _ ranges: [Range<Int>], _ ids: [Int]) {
    for (index, id) in ids.enumerated() {
      while id >= entries.count { entries.append(-1) }
      entries[id] = Int32(table.count + index)
    }
    table.insert(bytes, ranges, ids)
  }

  /// Appends the ids of several texts, -1 for what is no token.
  func ids(of bytes: [UInt8], _ ranges: [Range<Int>], into ids: inout [Int32]) {
    table.values(of: bytes, ranges, into: &ids)
  }

  func id(of bytes: [UInt8]) -> Int32? { table.value(of: bytes) }
  func id(of bytes: [UInt8], _ range: Range<Int>) -> Int32? { table.value(of: bytes, range) }
  func id(of text: String) -> Int32? { table.value(of: Array(text.utf8)) }

  /// The id of two texts together. Most files have merges in the order of what they make: where
  /// that is the last one or the next, no search is needed.
  func id(
    of bytes: [UInt8], _ left: Range<Int>, _ right: Range<Int>, near last: Int32
  ) -> Int32? {
    if surelyGives(last, bytes, left, right) { return last }
    if surelyGives(last &+ 1, bytes, left, right) { return last &+ 1 }
    return id(of: Array(bytes[left]) + bytes[right])
  }

  /// Whether two texts together give this id; false says nothing.
  @inline(__always)
  private func surelyGives(
    _ id: Int32, _ bytes: [UInt8], _ left: Range<Int>, _ right: Range<Int>
  ) -> Bool {
    guard !table.hasEqualKeys, entries.indices.contains(Int(id)), entries[Int(id)] >= 0 else {
      return false
    }
    let key = table.key(Int(entries[Int(id)]))
    guard key.count == left.count + right.count else { return false }
    let middle = key.lowerBound + left.count
    return table.matches(key.lowerBound..<middle, bytes, left)
      && table.matches(middle..<key.upperBound, bytes, right)
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
