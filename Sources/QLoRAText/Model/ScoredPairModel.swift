// SentencePiece's byte-pair encoding: any two neighbours that make a piece may be merged, that of
// the highest score first, leftmost among equals.
// Source: Kudo and Richardson 2018, arXiv:1808.06226; sentencepiece, whose ids these are.

struct ScoredPairModel: WordModel {
  let vocabulary: Vocabulary
  let mayCutBeforeMarks: Bool
  private let scores: [Float]
  /// Pieces that are merged but never given out; they fall apart into what they were made of.
  private let isUnused: [Bool]
  private let isPiece: [Bool]
  private let unknown: Int32
  private let fallbackIDs: [Int32]
  private let protected: PieceTrie?
  private let longestPiece: Int

  /// - Parameters:
  ///   - isPiece: whether a token may come from text, by id.
  ///   - protected: pieces of users, which are taken first and stay whole.
  init(
    vocabulary: Vocabulary, scores: [Float], isPiece: [Bool], isUnused: [Bool], unknown: Int32,
    fallsBackToBytes: Bool, protected: PieceTrie?
  ) {
    self.vocabulary = vocabulary
    self.scores = scores
    self.isPiece = isPiece
    self.isUnused = isUnused
    self.unknown = unknown
    self.protected = protected
    fallbackIDs = fallsBackToBytes ? BytePairModel.byteTokens(vocabulary) : []
    longestPiece = (0..<Int32(vocabulary.count)).map { vocabulary.bytes(of: $0).count }.max() ?? 0
    // Pieces of users are of the vocabulary, too: none of them stands across such a place.
    mayCutBeforeMarks =
      vocabulary.id(of: SentencePieceNormalizer.mark) != nil && !vocabulary.hasMarksInside
  }

  private struct Symbol {
    var start: Int
    var end: Int
    var previous: Int
    var next: Int
    var isFrozen: Bool
    var isEmpty: Bool { start == end }
  }

  private struct Candidate: Comparable {
    var score: Float
    var left: Int
    var right: Int
    var count: Int

    static func < (one: Self, other: Self) -> Bool {
      one.score != other.score ? one.score > other.score : one.left < other.left
    }
  }

  private func piece(_ bytes: [UInt8], _ range: Range<Int>) -> Int32? {
    guard range.count <= longestPiece, let id = vocabulary.id(of: bytes, range),
      isPiece[Int(id)]
    else { return nil }
    return id
  }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    var symbols = self.symbols(bytes, word)
    var heap = MinimumHeap<Candidate>()
    /// The parts of pieces that are never given out, by their ends.
    var parts: [Range<Int>: Int] = [:]
    func consider(_ left: Int, _ right: Int) {
      guard left >= 0, right >= 0, !symbols[left].isFrozen, !symbols[right].isFrozen else { return }
      let range = symbols[left].start..<symbols[right].end
      guard let id = piece(bytes, range) else { return }
      heap.insert(
        Candidate(score: scores[Int(id)], left: left, right: right, count: range.count))
      if isUnused[Int(id)] { parts[range] = symbols[left].end }
    }
    for index in symbols.indices.dropFirst() { consider(index - 1, index) }
    while let top = heap.removeMinimum() {
      let (left, right) = (symbols[top.left], symbols[top.right])
      guard !left.isEmpty, !right.isEmpty,
        left.end - left.start + right.end - right.start == top.count
      else { continue }
      symbols[top.left].end = right.end
      symbols[top.left].next = right.next
      if right.next >= 0 { symbols[right.next].previous = top.left }
      symbols[top.right].start = right.end
      consider(symbols[top.left].previous, top.left)
      consider(top.left, symbols[top.left].next)
    }
    var isAfterUnknown = false
    for symbol in symbols where !symbol.isEmpty {
      append(bytes, symbol.start..<symbol.end, parts, &isAfterUnknown, into: &tokens)
    }
  }

  private func symbols(_ bytes: [UInt8], _ word: Range<Int>) -> [Symbol] {
    var symbols: [Symbol] = []
    var index = word.lowerBound
    while index < word.upperBound {
      let frozen = protected?.longestMatch(bytes, index..<word.upperBound)
      let end = index + (frozen ?? DecodedScalar.length(bytes[index]))
      symbols.append(
        Symbol(
          start: index, end: end, previous: symbols.count - 1,
          next: end < word.upperBound ? symbols.count + 1 : -1, isFrozen: frozen != nil))
      index = end
    }
    return symbols
  }

  private func append(
    _ bytes: [UInt8], _ range: Range<Int>, _ parts: [Range<Int>: Int],
    _ isAfterUnknown: inout Bool, into tokens: inout [WordToken]
  ) {
    if let id = piece(bytes, range) {
      if isUnused[Int(id)], let middle = parts[range] {
        append(bytes, range.lowerBound..<middle, parts, &isAfterUnknown, into: &tokens)
        append(bytes, middle..<range.upperBound, parts, &isAfterUnknown, into: &tokens)
        return
      }
      isAfterUnknown = false
      tokens.append(WordToken(id: id, byteCount: Int32(range.count)))
    } else if !fallbackIDs.isEmpty {
      for index in range {
        let id = fallbackIDs[Int(bytes[index])]
        tokens.append(WordToken(id: id >= 0 ? id : unknown, byteCount: 1))
      }
    } else if isAfterUnknown {
      tokens[tokens.count - 1].byteCount += Int32(range.count)
    } else {
      isAfterUnknown = true
      tokens.append(WordToken(id: unknown, byteCount: Int32(range.count)))
    }
  }
}
