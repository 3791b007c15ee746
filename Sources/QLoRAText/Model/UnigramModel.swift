// The unigram language model: of all ways to cut a text into pieces the most probable one.
// Source: Kudo 2018, arXiv:1804.10959, section 3.2; PyPI `tokenizers` and sentencepiece, whose ids
// these are.

struct UnigramModel: WordModel {
  /// In what the two references differ.
  enum Rules: Sendable, Equatable {
    /// As in tokenizer.json: sums have double precision; a run of unknown characters that is no
    /// piece itself becomes one token, or the tokens of all its bytes.
    case tokenizerJSON
    /// As in SentencePiece: sums have single precision, on which the ids of a long text depend;
    /// each unknown character becomes the tokens of its bytes, or a run of them one token.
    case sentencePiece
  }

  let vocabulary: Vocabulary
  private let trie: PieceTrie
  private let scores: [Double]
  private let unknown: Int32?
  private let unknownScore: Double
  private let rules: Rules
  /// The ids of `<0x00>` to `<0xFF>`, or nothing.
  private let fallbackIDs: [Int32]

  /// - Parameters:
  ///   - scores: logarithms of probabilities by id.
  ///   - lowest: the score of the least probable piece.
  ///   - isPiece: whether a token may come from text; control tokens do not.
  init(
    vocabulary: Vocabulary, scores: [Double], unknown: Int32?, rules: Rules,
    fallsBackToBytes: Bool, lowest: Double, isPiece: (Int32) -> Bool = { _ in true }
  ) {
    self.vocabulary = vocabulary
    self.scores = scores
    self.unknown = unknown
    self.rules = rules
    // Ten below the least probable piece, as both references have it.
    unknownScore = lowest - 10
    fallbackIDs = fallsBackToBytes ? BytePairModel.byteTokens(vocabulary) : []
    trie = PieceTrie(
      (0..<Int32(vocabulary.count)).filter { vocabulary.contains($0) && isPiece($0) }.map {
        (text: vocabulary.bytes(of: $0), value: $0)
      })
  }

  /// The best way to a place in the text.
  private struct Path {
    var score = 0.0
    var start: Int32 = -1
    var id: Int32 = -1
  }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    let paths = bestPaths(bytes, word)
    let first = tokens.count
    var end = word.count
    // From the end to the beginning; a run of unknown characters is joined on the way.
    while end > 0, paths[end].start >= 0 {
      let path = paths[end]
      var start = Int(path.start)
      let isUnknown = path.id == unknown
      while isUnknown, rules == .tokenizerJSON || fallbackIDs.isEmpty, start > 0,
        paths[start].id == unknown, paths[start].start >= 0
      {
        start = Int(paths[start].start)
      }
      let range = word.lowerBound + start..<word.lowerBound + end
      if isUnknown {
        appendUnknown(bytes, range, into: &tokens)
      } else {
        tokens.append(WordToken(id: path.id, byteCount: Int32(range.count)))
      }
      end = start
    }
    tokens[first...].reverse()
  }

  /// Appends, in reverse order, what stands for unknown characters.
  private func appendUnknown(
    _ bytes: [UInt8], _ range: Range<Int>, into tokens: inout [WordToken]
  ) {
    if rules == .tokenizerJSON, let id = vocabulary.id(of: bytes, range) {
      tokens.append(WordToken(id: id, byteCount: Int32(range.count)))
      return
    }
    let ids = fallbackIDs.isEmpty ? [] : bytes[range].map { fallbackIDs[Int($0)] }
    if !ids.isEmpty, ids.allSatisfy({ $0 >= 0 }) {
      for id in ids.reversed() { tokens.append(WordToken(id: id, byteCount: 1)) }
    } else if let unknown {
      tokens.append(WordToken(id: unknown, byteCount: Int32(range.count)))
    }
  }

  private func bestPaths(_ bytes: [UInt8], _ word: Range<Int>) -> [Path] {
    var paths = [Path](repeating: Path(), count: word.count + 1)
    var start = 0
    while start < word.count {
      let here = paths[start].score
      let place = word.lowerBound + start
      let length = DecodedScalar.length(bytes[place])
      var hasSingle = false
      trie.forEachMatch(bytes, place..<word.upperBound) { count, id in
        let candidate = scores[Int(id)] + here
        if paths[start + count].start < 0 || candidate > paths[start + count].score {
          paths[start + count] = Path(score: kept(candidate), start: Int32(start), id: id)
        }
        if count == length { hasSingle = true }
      }
      if !hasSingle {
        let end = start + length
        let candidate = kept(unknownScore + here)
        if paths[end].start < 0 || candidate > paths[end].score {
          paths[end] = Path(score: candidate, start: Int32(start), id: unknown ?? -1)
        }
      }
      start += length
    }
    return paths
  }

  /// A sum as the reference keeps it.
  @inline(__always)
  private func kept(_ score: Double) -> Double {
    rules == .sentencePiece ? Double(Float(score)) : score
  }
}
