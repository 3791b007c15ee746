// Byte-pair encoding as tokenizer.json describes it: what the first symbols of a word are, which
// words need no merging, and what stands for the unknown.
// Source: Sennrich et al. 2016, arXiv:1508.07909, section 3.2; PyPI `tokenizers`, whose ids these are.

struct BytePairModel: WordModel {
  /// How a word is spelled before merging.
  struct Spelling: Sendable, Equatable {
    /// The vocabulary spells bytes by the byte alphabet; words are bytes as they are.
    var isByteLevel = false
    /// Before every symbol but a word's first.
    var prefix: [UInt8] = []
    /// After a word's last symbol.
    var suffix: [UInt8] = []
    /// Unknown characters become the tokens of their bytes.
    var fallsBackToBytes = false
    var unknown: Int32?
    /// Several unknown characters in a row are one token.
    var fusesUnknown = false
    /// Words that are tokens need no merging.
    var ignoresMerges = false
  }

  let vocabulary: Vocabulary
  let merger: BytePairMerger
  let spelling: Spelling
  let mayCutBeforeMarks: Bool
  /// The ids of `<0x00>` to `<0xFF>`, -1 where one is missing.
  private let fallbackIDs: [Int32]
  /// The ids of the characters below U+0080, or of all bytes, without prefix and suffix.
  private let plainIDs: [Int32]

  init(vocabulary: Vocabulary, merges: MergeTable, spelling: Spelling) {
    self.vocabulary = vocabulary
    self.spelling = spelling
    merger = BytePairMerger(merges: merges)
    fallbackIDs = Self.byteTokens(vocabulary)
    plainIDs = (0..<256).map { byte in
      let alphabet = spelling.isByteLevel ? ByteAlphabet.scalars[byte] : Unicode.Scalar(UInt8(byte))
      return vocabulary.id(of: String(alphabet)) ?? -1
    }
    mayCutBeforeMarks =
      !spelling.isByteLevel && !spelling.ignoresMerges && spelling.prefix.isEmpty
      && spelling.suffix.isEmpty && vocabulary.id(of: SentencePieceNormalizer.mark) != nil
      && !vocabulary.hasMarksInside
  }

  static func byteTokens(_ vocabulary: Vocabulary) -> [Int32] {
    (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return vocabulary.id(of: "<0x" + (digits.utf8.count < 2 ? "0" : "") + digits + ">") ?? -1
    }
  }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    if spelling.ignoresMerges, let id = wholeWord(bytes, word) {
      tokens.append(WordToken(id: id, byteCount: Int32(word.count)))
      return
    }
    let start = tokens.count
    var unknown: WordToken?
    var index = word.lowerBound
    while index < word.upperBound {
      let count = spelling.isByteLevel ? 1 : DecodedScalar.length(bytes[index])
      let range = index..<index + count
      index += count
      let isLast = index == word.upperBound
      let isFirst = range.lowerBound == word.lowerBound
      if let id = symbol(bytes, range, isFirst: isFirst, isLast: isLast) {
        if let token = unknown { tokens.append(token) }
        unknown = nil
        tokens.append(WordToken(id: id, byteCount: Int32(count)))
      } else if !fallBack(bytes, range, isFirst: isFirst, isLast: isLast, into: &tokens) {
        add(count, to: &unknown, &tokens)
      }
    }
    if let unknown { tokens.append(unknown) }
    merger.merge(&tokens, from: start)
  }

  private func add(_ count: Int, to unknown: inout WordToken?, _ tokens: inout [WordToken]) {
    guard let id = spelling.unknown else { return }
    if let token = unknown {
      if spelling.fusesUnknown {
        unknown?.byteCount += Int32(count)
        return
      }
      tokens.append(token)
    }
    unknown = WordToken(id: id, byteCount: Int32(count))
  }

  @inline(__always)
  private func symbol(
    _ bytes: [UInt8], _ range: Range<Int>, isFirst: Bool, isLast: Bool
  ) -> Int32? {
    let isPlain =
      (isFirst || spelling.prefix.isEmpty) && (!isLast || spelling.suffix.isEmpty)
    if isPlain {
      if range.count > 1 { return vocabulary.id(of: bytes, range) }
      let id = plainIDs[Int(bytes[range.lowerBound])]
      return id >= 0 ? id : nil
    }
    return vocabulary.id(of: spelled(bytes, range, isFirst: isFirst, isLast: isLast))
  }

  /// A symbol as the vocabulary spells it.
  private func spelled(
    _ bytes: [UInt8], _ range: Range<Int>, isFirst: Bool, isLast: Bool
  ) -> [UInt8] {
    let plain = spelling.isByteLevel
      ? Array(ByteAlphabet.text(of: bytes[range]).utf8) : Array(bytes[range])
    return (isFirst ? [] : spelling.prefix) + plain + (isLast ? spelling.suffix : [])
  }

  private func fallBack(
    _ bytes: [UInt8], _ range: Range<Int>, isFirst: Bool, isLast: Bool,
    into tokens: inout [WordToken]
  ) -> Bool {
    guard spelling.fallsBackToBytes else { return false }
    let text = spelled(bytes, range, isFirst: isFirst, isLast: isLast)
    let ids = text.map { fallbackIDs[Int($0)] }
    guard ids.allSatisfy({ $0 >= 0 }) else { return false }
    for (offset, id) in ids.enumerated() {
      // Of a symbol that is spelled longer than it is, the last bytes stand for nothing.
      tokens.append(WordToken(id: id, byteCount: offset < range.count ? 1 : 0))
    }
    return true
  }

  private func wholeWord(_ bytes: [UInt8], _ word: Range<Int>) -> Int32? {
    if !spelling.isByteLevel { return vocabulary.id(of: bytes, word) }
    return vocabulary.id(of: Array(ByteAlphabet.text(of: bytes[word]).utf8))
  }
}

extension Vocabulary {
  /// Whether a token holds a mark (U+2581) behind something else, so that merges may cross the
  /// border before a mark.
  var hasMarksInside: Bool {
    let arena = table.arena
    var entry = 0
    var key = table.count > 0 ? table.key(0) : 0..<0
    var index = 1
    while index + 2 < arena.count {
      guard arena[index] == 0xE2, arena[index + 1] == 0x96, arena[index + 2] == 0x81 else {
        index += 1
        continue
      }
      while key.upperBound <= index {
        entry += 1
        key = table.key(entry)
      }
      let isInside = index > key.lowerBound
      let followsMark =
        index >= key.lowerBound + 3 && arena[index - 3] == 0xE2 && arena[index - 2] == 0x96
        && arena[index - 1] == 0x81
      if isInside, !followsMark { return true }
      index += 3
    }
    return false
  }
}
