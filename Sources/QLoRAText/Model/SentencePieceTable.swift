// The pieces of a SentencePiece model beyond their texts: scores, kinds, and which algorithm makes
// tokens of them. The vocabularies of tokenizer.model and of GGUF files both are such tables.

struct SentencePieceTable: Sendable {
  /// The numbers are those of both formats.
  enum Kind: Int32, Sendable {
    case normal = 1, unknown = 2, control = 3, userDefined = 4, unused = 5, byte = 6

    /// Whether text may become a piece of this kind.
    var comesFromText: Bool { self == .normal || self == .userDefined || self == .unused }
  }

  enum Algorithm: Sendable { case unigram, bytePairs }

  var scores: [Float]
  var kinds: [Kind]
  var algorithm: Algorithm
  var unknown: Int32
  var fallsBackToBytes: Bool

  func ids(_ kind: Kind) -> [Int32] { kinds.indices.filter { kinds[$0] == kind }.map { Int32($0) } }

  /// The pieces of users, which stand for themselves whatever is around them.
  func protected(_ vocabulary: Vocabulary) -> PieceTrie? {
    let ids = ids(.userDefined)
    return ids.isEmpty ? nil : PieceTrie(ids.map { (text: vocabulary.bytes(of: $0), value: $0) })
  }

  func wordModel(_ vocabulary: Vocabulary) -> any WordModel {
    switch algorithm {
    case .bytePairs:
      return ScoredPairModel(
        vocabulary: vocabulary, scores: scores, isPiece: kinds.map(\.comesFromText),
        isUnused: kinds.map { $0 == .unused }, unknown: unknown,
        fallsBackToBytes: fallsBackToBytes, protected: protected(vocabulary))
    case .unigram:
      let normal = zip(scores, kinds).filter { $1 == .normal }.map(\.0)
      // The reference begins its search for the highest score at the smallest positive number.
      let highest = normal.reduce(Float.leastNormalMagnitude, max)
      let scores = kinds.indices.map { id -> Double in
        guard kinds[id] == .userDefined else { return Double(self.scores[id]) }
        return Double(Float(vocabulary.bytes(of: Int32(id)).count) * highest) - 0.1
      }
      return UnigramModel(
        vocabulary: vocabulary, scores: scores, unknown: unknown, rules: .sentencePiece,
        fallsBackToBytes: fallsBackToBytes,
        lowest: Double(normal.min() ?? Float.greatestFiniteMagnitude)
      ) { kinds[Int($0)] == .normal || kinds[Int($0)] == .userDefined }
    }
  }

  /// How texts are made of the pieces.
  func decoder(_ vocabulary: Vocabulary) -> SentencePieceDecoder {
    var decoder = SentencePieceDecoder()
    decoder.control = Set(ids(.control))
    decoder.unknown = unknown
    for id in ids(.byte) {
      decoder.byteValues[id] = Decoder.fallbackByte(Array(vocabulary.bytes(of: id)))
    }
    return decoder
  }
}
