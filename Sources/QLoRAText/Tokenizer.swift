// A byte-level BPE tokenizer: what it holds and how single tokens are looked up. Reading it from
// files, encoding and decoding are in the extensions beside this file.
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

  let splitter: Splitter
  let composes: Bool
  let merger: BytePairMerger
  /// Words that are tokens need no merging: decoded bytes → id. Nil where merges decide.
  let wholeWords: ByteTable?
  let rawAddedTokens: AddedTokenFinder
  let normalizedAddedTokens: AddedTokenFinder
  /// Ids put before and after a text that is encoded with special tokens.
  let prefixIDs: [Int32]
  let suffixIDs: [Int32]

  private let texts: [String]
  private let idsByText: ByteTable
  /// 0 merged, 1 added, 2 added and special; by id.
  private let kinds: [UInt8]
  /// The bytes each id decodes to: `decodedBytes[offsets[id]..<offsets[id + 1]]`.
  private let decodedBytes: [UInt8]
  private let offsets: [Int32]
  /// Words already merged; one encoder at a time uses it, others do without.
  let words = Mutex(WordCache())

  init(_ parts: TokenizerParts) throws {
    let texts = try parts.allTexts()
    self.texts = texts
    vocabularyCount = texts.count
    idsByText = parts.idsByText
    kinds = parts.kinds(count: texts.count)
    var bytes: [UInt8] = []
    var offsets: [Int32] = [0]
    for (id, text) in texts.enumerated() {
      let isAdded = kinds[id] > 0
      bytes.append(
        contentsOf: isAdded ? Array(text.utf8) : ByteAlphabet.bytes(of: text) ?? Array(text.utf8))
      offsets.append(Int32(bytes.count))
    }
    decodedBytes = bytes
    self.offsets = offsets
    merger = try parts.merger()
    splitter = parts.splitter
    composes = parts.composes
    wholeWords = parts.ignoresMerges ? parts.wholeWords() : nil
    rawAddedTokens = AddedTokenFinder(parts.added.filter { !$0.isNormalized || !parts.composes })
    normalizedAddedTokens = AddedTokenFinder(
      parts.added.filter { $0.isNormalized && parts.composes })
    prefixIDs = parts.prefixIDs
    suffixIDs = parts.suffixIDs
    bosToken = try parts.named(parts.bos, "bos_token")
    eosToken = try parts.named(parts.eos, "eos_token")
    padToken = try parts.named(parts.pad, "pad_token")
    chatTemplateSource = parts.chatTemplate
  }

  /// The id of a token by its text as the vocabulary spells it.
  package func id(of token: String) -> Int32? { idsByText.value(of: Array(token.utf8)) }

  /// A token as the vocabulary spells it; empty for an id outside it.
  package func text(of id: Int32) -> String {
    texts.indices.contains(Int(id)) ? texts[Int(id)] : ""
  }

  /// Whether the id is a special token, which never comes from merging text.
  package func isControl(_ id: Int32) -> Bool {
    kinds.indices.contains(Int(id)) && kinds[Int(id)] == 2
  }

  /// The bytes that an id decodes to; none for an id outside the vocabulary.
  package func bytes(of id: Int32) -> ArraySlice<UInt8> {
    guard id >= 0, Int(id) + 1 < offsets.count else { return [] }
    return decodedBytes[Int(offsets[Int(id)])..<Int(offsets[Int(id) + 1])]
  }

  func byteCount(of id: Int32) -> Int { Int(offsets[Int(id) + 1] - offsets[Int(id)]) }
}

/// The tokens of words seen before.
struct WordCache: Sendable {
  /// Past this, the cache starts anew: it bounds memory, and fresh text has fresh words.
  private static let maximumBytes = 8 << 20
  /// Longer words seldom repeat.
  static let longestWord = 64

  private var table = ByteTable(minimumCapacity: 4096)
  private var ids: [Int32] = []
  private var starts: [Int32] = [0]

  func find(_ bytes: [UInt8], _ word: Range<Int>) -> ArraySlice<Int32>? {
    guard word.count <= Self.longestWord, let entry = table.value(of: bytes, word) else {
      return nil
    }
    return ids[Int(starts[Int(entry)])..<Int(starts[Int(entry) + 1])]
  }

  mutating func add(_ bytes: [UInt8], _ word: Range<Int>, _ tokens: ArraySlice<Int32>) {
    guard word.count <= Self.longestWord else { return }
    if table.byteCount > Self.maximumBytes { self = WordCache() }
    table.insert(bytes, word, Int32(starts.count - 1))
    ids.append(contentsOf: tokens)
    starts.append(Int32(ids.count))
  }
}
