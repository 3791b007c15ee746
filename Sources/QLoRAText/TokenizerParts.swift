// What the two sources of a tokenizer, tokenizer.json and GGUF, have in common before it is built.
// It checks that the parts fit together; it encodes nothing.
import QLoRADiagnostics

struct TokenizerParts {
  /// For messages: the file or folder the parts came from.
  var source: String
  /// The model's vocabulary by id; nil where an id has no token of its own.
  var vocabulary: [String?]
  var merges: [(left: String, right: String)]
  var added: [AddedToken] = []
  var splitter = Splitter()
  /// Text is brought to canonical composition (NFC) before splitting.
  var composes = false
  var ignoresMerges = false
  var prefixIDs: [Int32] = []
  var suffixIDs: [Int32] = []
  var bos: String?
  var eos: String?
  var pad: String?
  var chatTemplate: String?
  private(set) var idsByText = ByteTable()

  init(source: String, vocabulary: [String?], merges: [(left: String, right: String)]) {
    self.source = source
    self.vocabulary = vocabulary
    self.merges = merges
  }

  func failure(_ code: DiagnosticCode, _ message: String, remedy: String? = nil) -> Diagnostic {
    Diagnostic(code, message, at: .file(source), remedy: remedy)
  }

  /// Enters all texts for lookup; call once the vocabulary and added tokens are final.
  mutating func index() {
    idsByText = ByteTable(minimumCapacity: vocabulary.count + added.count)
    // Added tokens first: of equal texts the first entry stays.
    for token in added { idsByText.insert(Array(token.text.utf8), token.id) }
    for (id, text) in vocabulary.enumerated() {
      if let text { idsByText.insert(Array(text.utf8), Int32(id)) }
    }
  }

  func id(of text: String) -> Int32? { idsByText.value(of: Array(text.utf8)) }

  /// The text of every id, added tokens in their places.
  func allTexts() throws -> [String] {
    // Far above any model's vocabulary; a wild id must not reserve memory for it.
    let limit = 1 << 22
    let last = added.map { Int($0.id) }.max() ?? -1
    guard last < limit, added.allSatisfy({ $0.id >= 0 }) else {
      throw failure(.tokenizerMalformed, "an added token has the id \(last), outside 0..<\(limit)")
    }
    var texts = vocabulary.map { $0 ?? "" }
    if last >= texts.count {
      texts.append(contentsOf: repeatElement("", count: last + 1 - texts.count))
    }
    for token in added {
      let old = texts[Int(token.id)]
      guard old.isEmpty || old.utf8.elementsEqual(token.text.utf8) else {
        throw failure(
          .tokenizerMalformed, "the id \(token.id) is \"\(old)\" and \"\(token.text)\" at once",
          remedy: "fetch the file again")
      }
      texts[Int(token.id)] = token.text
    }
    guard (prefixIDs + suffixIDs).allSatisfy({ texts.indices.contains(Int($0)) }) else {
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
    return texts
  }

  func kinds(count: Int) -> [UInt8] {
    var kinds = [UInt8](repeating: 0, count: count)
    for token in added { kinds[Int(token.id)] = token.isSpecial ? 2 : 1 }
    return kinds
  }

  func merger() throws -> BytePairMerger {
    var table = MergeTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      guard let left = id(of: merge.left), let right = id(of: merge.right),
        let result = id(of: merge.left + merge.right)
      else {
        throw failure(
          .tokenizerMalformed,
          "merge \(rank) (\"\(merge.left)\" + \"\(merge.right)\") has a part or result that is no "
            + "token of the vocabulary", remedy: "fetch the file again")
      }
      table.insert(left, right, rank: rank, result: result)
    }
    let byteIDs = ByteAlphabet.scalars.map { id(of: String($0)) ?? -1 }
    return BytePairMerger(merges: table, byteIDs: byteIDs)
  }

  func wholeWords() -> ByteTable {
    var table = ByteTable(minimumCapacity: vocabulary.count)
    for (id, text) in vocabulary.enumerated() {
      if let text, let bytes = ByteAlphabet.bytes(of: text) { table.insert(bytes, Int32(id)) }
    }
    return table
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
