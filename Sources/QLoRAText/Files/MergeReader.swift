// The merges of tokenizer.json, which name tokens by their texts: read block by block, so that the
// places of a large vocabulary are fetched together.
import QLoRADiagnostics
import QLoRAJSON

struct MergeReader {
  private let file: TokenizerFileFacts
  private let vocabulary: Vocabulary
  /// What the right part of a merge loses in what is made.
  private let prefix: [UInt8]
  private var list = MergeList()
  /// Two texts for each merge that waits, one behind the other, and where it stands in the file.
  private var block = TokenBlock()
  private var places: [JSONPosition] = []
  private var ids: [Int32] = []

  init(file: TokenizerFileFacts, vocabulary: Vocabulary, prefix: [UInt8]) {
    self.file = file
    self.vocabulary = vocabulary
    self.prefix = prefix
    list.reserve(vocabulary.count)
  }

  /// - Throws: `Diagnostic` E0302 for what is no list of merges of the vocabulary's tokens.
  mutating func read(_ reader: inout JSONPullReader) throws -> MergeList {
    guard reader.isAtArray else {
      throw file.malformed("model.merges must be an array", reader.position)
    }
    var text: [UInt8] = []
    try reader.enterArray()
    while try reader.nextElement() {
      text.removeAll(keepingCapacity: true)
      places.append(reader.position)
      let middle = try readMerge(&reader, into: &text, rank: list.count + places.count - 1)
      block.append(text, cutAt: middle)
      if block.isFull { try resolve() }
    }
    try resolve()
    return list
  }

  /// Reads `"a b"` or `["a", "b"]` as one text; gives where its second part begins.
  private func readMerge(
    _ reader: inout JSONPullReader, into text: inout [UInt8], rank: Int
  ) throws -> Int {
    let place = reader.position
    if reader.isAtString {
      try reader.string(into: &text)
      if let space = Self.onlySpace(text), space > 0, space + 1 < text.count {
        text.remove(at: space)
        return space
      }
    } else if reader.isAtArray {
      try reader.enterArray()
      if try reader.nextElement(), reader.isAtString {
        try reader.string(into: &text)
        let middle = text.count
        if try reader.nextElement(), reader.isAtString {
          try reader.string(into: &text)
          if try !reader.nextElement() { return middle }
        }
      }
    }
    throw file.malformed("merge \(rank) is neither \"a b\" nor [\"a\", \"b\"]", place)
  }

  /// Where the only space of a text is; nil where there are none or several.
  private static func onlySpace(_ text: [UInt8]) -> Int? {
    var (place, count) = (0, 0)
    for index in text.indices where text[index] == 0x20 { (place, count) = (index, count + 1) }
    return count == 1 ? place : nil
  }

  /// Turns the texts that wait into merges.
  private mutating func resolve() throws {
    vocabulary.ids(of: block, into: &ids)
    for (index, place) in places.enumerated() {
      let (left, right) = (block.ranges[2 * index], block.ranges[2 * index + 1])
      guard ids[2 * index] >= 0, ids[2 * index + 1] >= 0, let result = result(left, right),
        list.count < Tokenizer.maximumFileValues
      else {
        throw file.malformed(
          "merge \(list.count) (\"\(String(decoding: block.bytes[left], as: UTF8.self))\" + "
            + "\"\(String(decoding: block.bytes[right], as: UTF8.self))\") has a part or result "
            + "that is no token of the vocabulary", place)
      }
      list.append(ids[2 * index], ids[2 * index + 1], result)
    }
    block.removeAll()
    places.removeAll(keepingCapacity: true)
  }

  private func result(_ left: Range<Int>, _ right: Range<Int>) -> Int32? {
    guard prefix.isEmpty else {
      let rest = block.bytes[right].dropFirst(prefix.count)
      return vocabulary.id(of: Array(block.bytes[left]) + rest)
    }
    // Most files have merges in the order of what they make, which spares a search.
    let whole = left.lowerBound..<right.upperBound
    let last = list.results.last ?? -1
    if vocabulary.surelyGives(last, block.bytes, whole) { return last }
    if vocabulary.surelyGives(last &+ 1, block.bytes, whole) { return last &+ 1 }
    return vocabulary.id(of: block.bytes, whole)
  }
}
