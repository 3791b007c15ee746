// What the sources of a tokenizer, tokenizer.json, tokenizer.model and GGUF, have in common before
// it is built. It checks that the parts fit together; it encodes nothing.
import QLoRADiagnostics

/// Merges in their order, by ids.
struct MergeList: Sendable {
  private(set) var lefts: [Int32] = []
  private(set) var rights: [Int32] = []
  private(set) var results: [Int32] = []

  var count: Int { lefts.count }

  mutating func reserve(_ count: Int) {
    lefts.reserveCapacity(count)
    rights.reserveCapacity(count)
    results.reserveCapacity(count)
  }

  mutating func append(_ left: Int32, _ right: Int32, _ result: Int32) {
    lefts.append(left)
    rights.append(right)
    results.append(result)
  }

  mutating func removeLast(_ count: Int) {
    lefts.removeLast(count)
    rights.removeLast(count)
    results.removeLast(count)
  }
}

/// How a vocabulary makes tokens of words.
enum ModelParts: Sendable {
  case bytePairs(MergeList, BytePairModel.Spelling)
  case unigram(scores: [Double], unknown: Int32?, fallsBackToBytes: Bool)
  case wordPiece(prefix: [UInt8], unknown: Int32, longestWord: Int)
  case wordLevel(unknown: Int32?)
  case sentencePiece(SentencePieceTable)
}

struct TokenizerParts {
  /// For messages: the file or folder the parts came from.
  var source: String
  /// The model's own tokens.
  var vocabulary: Vocabulary
  var model: ModelParts
  var added: [AddedToken] = []
  var normalizer: Normalizer?
  var preTokenizers: [PreTokenizer] = []
  var decoder = Decoder.spaced
  var prefixIDs: [Int32] = []
  var suffixIDs: [Int32] = []
  /// The same of two texts; nil where nothing is said of them.
  var pair: PairIDs?
  var bos: String?
  var eos: String?
  var pad: String?
  var chatTemplate: String?

  init(source: String, vocabulary: Vocabulary, model: ModelParts) {
    self.source = source
    self.vocabulary = vocabulary
    self.model = model
  }

  func failure(_ code: DiagnosticCode, _ message: String, remedy: String? = nil) -> Diagnostic {
    Diagnostic(code, message, at: .file(source), remedy: remedy)
  }

  /// The id of a text, added tokens first.
  func id(of text: String) -> Int32? {
    added.first { $0.text.utf8.elementsEqual(text.utf8) }?.id ?? vocabulary.id(of: text)
  }

  /// A token's text; empty for an id that has none.
  func text(of id: Int32) -> String {
    added.first { $0.id == id }?.text ?? vocabulary.text(of: id)
  }

  /// One more than the highest id.
  var count: Int { max(vocabulary.count, 1 + (added.map { Int($0.id) }.max() ?? -1)) }

  /// - Throws: `tokenizerMalformed` for parts that contradict each other.
  func check() throws {
    // Far above any model's vocabulary; a wild id must not reserve memory for it.
    let limit = 1 << 22
    let last = added.map { Int($0.id) }.max() ?? -1
    guard last < limit, added.allSatisfy({ $0.id >= 0 }) else {
      throw failure(.tokenizerMalformed, "an added token has the id \(last), outside 0..<\(limit)")
    }
    var texts: [Int32: String] = [:]
    for token in added {
      let old = texts[token.id] ?? vocabulary.text(of: token.id)
      guard old.isEmpty || old.utf8.elementsEqual(token.text.utf8) else {
        throw failure(
          .tokenizerMalformed, "the id \(token.id) is \"\(old)\" and \"\(token.text)\" at once",
          remedy: "fetch the file again")
      }
      texts[token.id] = token.text
    }
    let pairIDs = pair.map { $0.before + $0.between + $0.after } ?? []
    let isKnown = (prefixIDs + suffixIDs + pairIDs).allSatisfy { (0..<count).contains(Int($0)) }
    guard isKnown else {
      throw failure(
        .tokenizerMalformed, "a token that is put round texts is outside the vocabulary")
    }
    // Looking for a token at each byte of a text takes as long as the token.
    let longest = 256
    if let token = added.first(where: { $0.text.utf8.count > longest }) {
      throw failure(
        .tokenizerMalformed,
        "the added token \(token.id) has \(token.text.utf8.count) bytes; at most \(longest) are "
          + "allowed")
    }
  }

  /// A token with its text as the normalizer leaves it.
  func normalized(_ token: AddedToken) -> AddedToken {
    guard let normalizer else { return token }
    var token = token
    let text = Array(token.text.utf8)
    token.text = String(
      decoding: normalizer.apply(AlignedText(text, 0..<text.count)).bytes, as: UTF8.self)
    return token
  }

  func named(_ text: String?, _ role: String) throws -> Tokenizer.NamedToken? {
    guard let text else { return nil }
    guard let id = id(of: text) else {
      throw failure(
        .controlTokenMissing, "\(role) is \"\(text)\", which is not in the vocabulary",
        remedy: "take tokenizer.json and tokenizer_config.json from the same model")
    }
    return (id, text)
  }
}

extension TokenizerParts {
  /// Whether words reach the model as bytes that it spells itself.
  private var isByteLevel: Bool {
    guard case .byteLevel? = preTokenizers.last else { return false }
    let isOnlyOne = preTokenizers.dropLast().allSatisfy {
      if case .byteLevel = $0 { false } else { true }
    }
    return isOnlyOne && normalizer?.spellsBytes != true
  }

  func wordModel() -> any WordModel {
    switch model {
    case .bytePairs(let merges, var spelling):
      spelling.isByteLevel = isByteLevel
      return BytePairModel(vocabulary: vocabulary, merges: MergeTable(merges), spelling: spelling)
    case .unigram(let scores, let unknown, let fallsBackToBytes):
      return UnigramModel(
        vocabulary: vocabulary, scores: scores, unknown: unknown, rules: .tokenizerJSON,
        fallsBackToBytes: fallsBackToBytes, lowest: scores.min() ?? 0)
    case .wordPiece(let prefix, let unknown, let longestWord):
      return WordPieceModel(
        vocabulary: vocabulary, prefix: prefix, unknown: unknown, longestWord: longestWord)
    case .wordLevel(let unknown): return WordLevelModel(vocabulary: vocabulary, unknown: unknown)
    case .sentencePiece(let table): return table.wordModel(vocabulary)
    }
  }

  /// The index of the step whose spelling by bytes the model does itself.
  var stepSpelledByModel: Int? {
    if case .bytePairs = model, isByteLevel { return preTokenizers.count - 1 }
    return nil
  }
}

extension Normalizer {
  /// Whether a step of it spells bytes by the byte alphabet.
  fileprivate var spellsBytes: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let steps): steps.contains(where: \.spellsBytes)
    default: false
    }
  }
}
