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
    unknownScore = rules == .sentencePiece ? Double(Float(lowest) - 10) : lowest - 10
    fallbackIDs = fallsBackToBytes ? BytePairModel.byteTokens(vocabulary) : []
    trie = PieceTrie(
      (0..<Int32(vocabulary.count)).filter { vocabulary.contains($0) && isPiece($0) }.map {
        (text: vocabulary.bytes(of: $0), value: $0)
      })
  }

  /// The best way to a place in the text.
  private struct Path {
    var score = 0.0
    /// The place before the last piece, or -1 where none leads here yet.
    var start: Int32 = -1
    var id: Int32 = -1
  }

  func tokenize(_ bytes: [UInt8], _ word: Range<Int>, into tokens: inout [WordToken]) {
    // Paths from `base` on; what lies before has its tokens already.
    var base = word.lowerBound
    var paths = [Path(start: 0)]
    var place = base
    var farthest = base
    while place < word.upperBound {
      let last = paths[place - base]
      if place == farthest, place > base, !isUnknown(last.id) {
        // No piece leads past this place, so that all paths go through it.
        appendBest(paths, to: place - base, bytes, base, into: &tokens)
        for index in 0...place - base { paths[index] = Path() }
        paths[0] = Path(score: last.score, start: 0)
        base = place
      }
      // Room for what begins at the next place, and some after it.
      let room = min(place - base + reach + 64, word.upperBound - base) + 1
      if paths.count < room {
        paths.append(contentsOf: repeatElement(Path(), count: room - paths.count))
      }
      paths.withUnsafeMutableBufferPointer {
        extend($0, bytes, base..<word.upperBound, &place, &farthest)
      }
    }
    appendBest(paths, to: word.upperBound - base, bytes, base, into: &tokens)
  }

  /// How far a piece or a character may reach.
  private var reach: Int { max(trie.longest, 4) }

  /// Lengthens paths from `place` on, until all of them meet or there is no room for more.
  private func extend(
    _ paths: UnsafeMutableBufferPointer<Path>, _ bytes: [UInt8], _ rest: Range<Int>,
    _ place: inout Int, _ farthest: inout Int
  ) {
    let limit = min(rest.upperBound, rest.lowerBound + paths.count - reach)
    var (here, end) = (place, farthest)
    trie.withWalk { walk in
      bytes.withUnsafeBufferPointer { bytes in
        scores.withUnsafeBufferPointer { scores in
          repeat {
            let start = here - rest.lowerBound
            let score = paths[start].score
            let length = DecodedScalar.length(bytes[here])
            var hasSingle = false
            walk.forEachMatch(bytes, here..<rest.upperBound) { count, id in
              consider(&paths[start + count], scores[Int(id)] + score, start, id)
              end = max(end, here + count)
              if count == length { hasSingle = true }
            }
            if !hasSingle {
              consider(&paths[start + length], unknownScore + score, start, unknown ?? -1)
              end = max(end, here + length)
            }
            here += length
          } while here < min(limit, end)
        }
      }
    }
    (place, farthest) = (here, end)
  }

  /// Takes a path if it is better.
  @inline(__always)
  private func consider(_ path: inout Path, _ sum: Double, _ start: Int, _ id: Int32) {
    let score = rules == .sentencePiece ? Double(Float(sum)) : sum
    guard path.start < 0 || score > path.score else { return }
    path = Path(score: score, start: Int32(start), id: id)
  }

  /// A vocabulary without a token for the unknown gives none for it.
  private func isUnknown(_ id: Int32) -> Bool { id < 0 || id == unknown }

  /// Appends the tokens of the best path to a place.
  private func appendBest(
    _ paths: [Path], to place: Int, _ bytes: [UInt8], _ base: Int, into tokens: inout [WordToken]
  ) {
    let first = tokens.count
    var end = place
    // From the end to the beginning; a run of unknown characters is joined on the way.
    while end > 0 {
      let path = paths[end]
      var start = Int(path.start)
      let isUnknown = isUnknown(path.id)
      while isUnknown, rules == .tokenizerJSON || fallbackIDs.isEmpty, start > 0,
        paths[start].id == path.id
      {
        start = Int(paths[start].start)
      }
      if isUnknown {
        appendUnknown(bytes, base + start..<base + end, into: &tokens)
      } else {
        tokens.append(WordToken(id: path.id, byteCount: Int32(end - start)))
      }
      end = start
    }
    // Reversing a slice would copy it.
    var (low, high) = (first, tokens.count - 1)
    while low < high {
      tokens.swapAt(low, high)
      (low, high) = (low + 1, high - 1)
    }
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
}
