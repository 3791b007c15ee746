// A tokenizer: what it holds and how single tokens are looked up. Reading it from files, encoding
// and decoding are in the extensions beside this file.
import Synchronization

/// Turns text into token ids and back, equal to the reference implementation's ids.
package final class Tokenizer: Sendable {
  /// A token with its text.
  package typealias NamedToken = (id: Int32, text: String)

  /// How many ids there are, added tokens included; the rows of an embedding may be more.
  package let vocabularyCount: Int
  package let bosToken: NamedToken?
  package let eosToken: NamedToken?
  package let padToken: NamedToken?
  package let chatTemplateSource: String?

  let vocabulary: Vocabulary
  let normalizer: Normalizer?
  let preTokenizers: [PreTokenizer]
  /// The step of `preTokenizers` after which words stay bytes, since the model spells them.
  let stepSpelledByModel: Int?
  let model: any WordModel
  let decoder: Decoder
  let rawAddedTokens: AddedTokenFinder
  let normalizedAddedTokens: AddedTokenFinder
  /// What added tokens decode to: their texts, normalized if that is how they are looked for.
  let addedTexts: [Int32: [UInt8]]
  /// Ids put before and after a text that is encoded with special tokens.
  let prefixIDs: [Int32]
  let suffixIDs: [Int32]
  /// What is put round two texts; nil where nothing is said of them.
  let pair: PairIDs?

  private let addedIDs: ByteTable
  private let spellings: [Int32: String]
  private let controlIDs: Set<Int32>
  /// Words already cut; one encoder at a time uses it, others do without.
  let words = Mutex(WordCache())

  init(_ parts: TokenizerParts) throws {
    try parts.check()
    vocabulary = parts.vocabulary
    vocabularyCount = parts.count
    var ids = ByteTable()
    for token in parts.added { ids.insert(Array(token.text.utf8), token.id) }
    addedIDs = ids
    controlIDs = Set(parts.added.filter(\.isSpecial).map(\.id))
    normalizer = parts.normalizer
    preTokenizers = parts.preTokenizers
    stepSpelledByModel = parts.stepSpelledByModel
    model = parts.wordModel()
    decoder = parts.decoder
    rawAddedTokens = AddedTokenFinder(parts.added.filter { !$0.isNormalized })
    let normalized = parts.added.filter(\.isNormalized).map(parts.normalized)
    normalizedAddedTokens = AddedTokenFinder(normalized)
    addedTexts = Dictionary(
      (normalized + parts.added).map { ($0.id, Array($0.text.utf8)) }) { first, _ in first }
    spellings = Dictionary(parts.added.map { ($0.id, $0.text) }) { first, _ in first }
    prefixIDs = parts.prefixIDs
    suffixIDs = parts.suffixIDs
    pair = parts.pair
    bosToken = try parts.named(parts.bos, "bos_token")
    eosToken = try parts.named(parts.eos, "eos_token")
    padToken = try parts.named(parts.pad, "pad_token")
    chatTemplateSource = parts.chatTemplate
  }

  /// The id of a token by its text as the vocabulary spells it.
  package func id(of token: String) -> Int32? {
    let text = Array(token.utf8)
    return addedIDs.value(of: text) ?? vocabulary.id(of: text)
  }

  /// A token as the vocabulary spells it; empty for an id outside it.
  package func text(of id: Int32) -> String {
    spellings[id] ?? vocabulary.text(of: id)
  }

  /// Whether the id is a special token, which never comes from merging text.
  package func isControl(_ id: Int32) -> Bool { controlIDs.contains(id) }

  /// The bytes that an id stands for inside of a text; none for an id outside the vocabulary.
  package func bytes(of id: Int32) -> ArraySlice<UInt8> {
    decodedToken(id).map { decoder.bytes(of: $0)[...] } ?? []
  }
}

/// The tokens of words seen before.
struct WordCache: Sendable {
  /// Past this, the cache starts anew: it bounds memory, and fresh text has fresh words.
  private static let maximumBytes = 8 << 20
  /// Longer words seldom repeat.
  static let longestWord = 64

  private var table = ByteTable(minimumCapacity: 4096)
  private(set) var tokens: [WordToken] = []
  private var starts: [Int32] = [0]

  /// Where in `tokens` those of a word are.
  func find(_ bytes: [UInt8], _ word: Range<Int>) -> Range<Int>? {
    guard word.count <= Self.longestWord, let entry = table.value(of: bytes, word) else {
      return nil
    }
    return Int(starts[Int(entry)])..<Int(starts[Int(entry) + 1])
  }

  mutating func add(_ bytes: [UInt8], _ word: Range<Int>, _ new: [WordToken]) {
    guard word.count <= Self.longestWord else { return }
    if table.byteCount > Self.maximumBytes { self = WordCache() }
    table.insert(bytes, word, Int32(starts.count - 1))
    tokens.append(contentsOf: new)
    starts.append(Int32(tokens.count))
  }
}
