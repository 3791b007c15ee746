// WordPiece: the longest token that begins a word, then the longest that goes on from there.
// Source: Wu et al. 2016, arXiv:1609.08144; PyPI `tokenizers`, whose ids these are.

struct WordPieceModel: WordModel {
  let vocabulary: Vocabulary
  /// Before every token but a word's first.
  let prefix: [UInt8]
  let unknown: Int32
  /// Longer words are unknown, counted in characters.
  let longestWord: Int
  private let starts: PieceTrie
  private let rests: PieceTrie

  init(vocabulary: Vocabulary, prefix: [UInt8], unknown: Int32, longestWord: Int) {
    self.vocabulary = vocabulary
    self.prefix = prefix
    self.unknown = unknown
    self.longestWord = longestWord
    let pieces = (0..<Int32(vocabulary.count)).filter(vocabulary.contains).map {
      (text: vocabulary.bytes(of: $0), value: $0)
    }
    starts = PieceTrie(pieces)
    rests = prefix.isEmpty
      ? starts
      : PieceTrie(
        pieces.filter { $0.text.starts(with: prefix) }.map {
          ($0.text.dropFirst(prefix.count), $0.value)
        })
  }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    let first = tokens.count
    var characters = 0
    for index in word where bytes[index] & 0xC0 != 0x80 { characters += 1 }
    var start = characters > longestWord ? -1 : word.lowerBound
    while start >= 0, start < word.upperBound {
      var best: WordToken?
      let trie = start == word.lowerBound ? starts : rests
      trie.forEachMatch(bytes, start..<word.upperBound) { count, id in
        best = WordToken(id: id, byteCount: Int32(count))
      }
      guard let best else {
        start = -1
        break
      }
      tokens.append(best)
      start += Int(best.byteCount)
    }
    if start < 0 {
      tokens.removeLast(tokens.count - first)
      tokens.append(WordToken(id: unknown, byteCount: Int32(word.count)))
    }
  }
}

/// Each word is a token, or unknown.
struct WordLevelModel: WordModel {
  let vocabulary: Vocabulary
  let unknown: Int32?
  var isWorthCaching: Bool { false }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    guard let id = vocabulary.id(of: bytes, word) ?? unknown else { return }
    tokens.append(WordToken(id: id, byteCount: Int32(word.count)))
  }
}
