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
  /// The two parts of each merge that is to be resolved, one behind the other.
  private var parts: [Range<Int>] = []
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
    var entries = PlainEntries()
    try reader.enterArray()
    while true {
      let start = reader.bookmark
      reader.takePlainTexts(&entries)
      if resolve(entries, reader.bytes) { continue }
      // The next is spelled with escapes, or something is wrong with one of them: one by one.
      reader.bookmark = start
      for _ in 0..<max(1, entries.texts.count) {
        guard try reader.nextElement() else { return list }
        let place = reader.position
        text.removeAll(keepingCapacity: true)
        let middle = try readMerge(&reader, into: &text)
        parts = [0..<middle, middle..<text.count]
        guard resolveParts(of: text) else { throw unknown(text, middle, place) }
      }
    }
  }

  /// Reads `"a b"` or `["a", "b"]` as one text; gives where its second part begins.
  private func readMerge(
    _ reader: inout JSONPullReader, into text: inout [UInt8]
  ) throws -> Int {
    let place = reader.position
    if reader.isAtString {
      try reader.string(into: &text)
      if let space = Self.onlySpace(text, 0..<text.count) {
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
    throw file.malformed("merge \(list.count) is neither \"a b\" nor [\"a\", \"b\"]", place)
  }

  /// Where the only space inside of a text is; nil where there is none or several.
  private static func onlySpace(_ bytes: [UInt8], _ text: Range<Int>) -> Int? {
    var (place, count) = (0, 0)
    for index in text where bytes[index] == 0x20 { (place, count) = (index, count + 1) }
    return count == 1 && place > text.lowerBound && place + 1 < text.upperBound ? place : nil
  }

  /// Appends merges that stand in the file without escapes; none, and false, where there are none
  /// or one of them is no merge.
  private mutating func resolve(_ entries: PlainEntries, _ bytes: [UInt8]) -> Bool {
    parts.removeAll(keepingCapacity: true)
    for (text, second) in zip(entries.texts, entries.seconds) {
      if !second.isEmpty {
        parts.append(text)
        parts.append(second)
      } else if let space = Self.onlySpace(bytes, text) {
        parts.append(text.lowerBound..<space)
        parts.append(space + 1..<text.upperBound)
      } else {
        return false
      }
    }
    return !parts.isEmpty && resolveParts(of: bytes)
  }

  /// Appends the merges that `parts` names; none, and false, where one is none.
  private mutating func resolveParts(of bytes: [UInt8]) -> Bool {
    let known = list.count
    guard known + parts.count / 2 <= Tokenizer.maximumFileValues else { return false }
    ids.removeAll(keepingCapacity: true)
    vocabulary.ids(of: bytes, parts, into: &ids)
    var last = list.results.last ?? -1
    for index in stride(from: 0, to: parts.count, by: 2) {
      let right = parts[index + 1].dropFirst(prefix.count)
      last = vocabulary.id(of: bytes, parts[index], right, near: last) ?? -1
      guard ids[index] >= 0, ids[index + 1] >= 0, last >= 0 else {
        list.removeLast(list.count - known)
        return false
      }
      list.append(ids[index], ids[index + 1], last)
    }
    return true
  }

  private func unknown(_ text: [UInt8], _ middle: Int, _ place: JSONPosition) -> Diagnostic {
    file.malformed(
      "merge \(list.count) (\"\(String(decoding: text[..<middle], as: UTF8.self))\" + "
        + "\"\(String(decoding: text[middle...], as: UTF8.self))\") has a part or result "
        + "that is no token of the vocabulary", place)
  }
}
