// The tokenizer of a Hugging Face folder as a GGUF vocabulary: the inverse of
// GGUFVocabulary+HuggingFace.swift. What llama.cpp would split otherwise is refused, never guessed.
import QLoRADiagnostics

extension GGUFVocabulary {
  /// llama.cpp's numbers for what a token is.
  private enum Kind: Int32 { case normal = 1, control = 3, userDefined = 4, unused = 5 }

  /// - Parameter rows: of the embedding; ids beyond the tokenizer's become unused tokens.
  /// - Throws: what `Tokenizer.load(folder:)` throws; `tokenizerUnsupported` for a tokenizer that
  ///   splits or surrounds text as no key of GGUF says; `tokenizerMalformed` for
  ///   more tokens than rows.
  package init(folder: String, rows: Int) throws {
    let parts = try TokenizerParts(folder: folder)
    // Building it proves that the parts fit together.
    let tokenizer = try Tokenizer(parts)
    let count = parts.count
    guard count <= rows else {
      throw parts.failure(
        .tokenizerMalformed, "there are \(count) tokens, the embedding has \(rows) rows",
        remedy: "use the tokenizer that came with the weights")
    }
    let texts = (0..<rows).map { tokenizer.text(of: Int32($0)) }
    var kinds = texts.map { $0.isEmpty ? Kind.unused.rawValue : Kind.normal.rawValue }
    for token in parts.added {
      kinds[Int(token.id)] = (token.isSpecial ? Kind.control : .userDefined).rawValue
    }
    let tokens = texts.enumerated().map { $1.isEmpty ? Self.filler($0) : $1 }
    switch parts.model {
    case .bytePairs(let merges, _):
      self.init(
        tokens: tokens, tokenTypes: kinds, merges: parts.spelled(merges),
        preTokenizer: try parts.ggufName())
    case .sentencePiece(let table):
      for (id, kind) in table.kinds.enumerated() { kinds[id] = kind.rawValue }
      let padding = [Float](repeating: 0, count: rows - table.scores.count)
      self.init(
        tokens: tokens, scores: table.scores + padding, tokenTypes: kinds, merges: [],
        preTokenizer: "default", modelName: table.algorithm == .unigram ? "t5" : "llama",
        unknownID: table.unknown)
      parts.describeNormalizer(in: &self)
    default:
      throw parts.failure(
        .tokenizerUnsupported, "this kind of tokenizer is not written into GGUF files",
        remedy: "take the GGUF file that the model's author made as the base")
    }
    (bosID, eosID, padID) = (tokenizer.bosToken?.id, tokenizer.eosToken?.id, tokenizer.padToken?.id)
    addBOS = try parts.addsBOS(bosID)
    // Where a file of pieces is silent, readers take T5's habits for granted.
    if modelName != "gpt2" { addEOS = false }
    chatTemplate = parts.chatTemplate
  }

  /// A text for an id that has none, as llama.cpp's converter names it.
  private static func filler(_ id: Int) -> String { "[PAD\(id)]" }
}

extension TokenizerParts {
  /// Merges as `left right`.
  func spelled(_ merges: MergeList) -> [String] {
    zip(merges.lefts, merges.rights).map { vocabulary.text(of: $0) + " " + vocabulary.text(of: $1) }
  }

  fileprivate func describeNormalizer(in gguf: inout GGUFVocabulary) {
    guard case .sentencePiece(let rules)? = normalizer else { return }
    gguf.addSpacePrefix = rules.addsPrefix
    gguf.removesExtraSpaces = rules.removesExtraSpaces
    gguf.characterMap = rules.map?.packed
  }

  /// `tokenizer.ggml.pre` for this tokenizer: the one whose reading gives the same rules.
  fileprivate func ggufName() throws -> String {
    if let token = added.first(where: { $0.isSingleWord || $0.stripsLeft || $0.stripsRight }) {
      throw failure(
        .tokenizerUnsupported,
        "the added token \"\(token.text)\" is one of lstrip, rstrip or single_word, for which GGUF "
          + "has no key",
        remedy: "take the GGUF file that the model's author made as the base")
    }
    if case .bytePairs(_, var spelling) = model {
      let ignoresMerges = spelling.ignoresMerges
      spelling.ignoresMerges = false
      for name in GGUFSplitter.names where spelling == BytePairModel.Spelling() {
        let rules = try GGUFSplitter(name: name, source: source)
        if rules.preTokenizers == preTokenizers, rules.normalizer == normalizer,
          rules.ignoresMerges == ignoresMerges
        {
          return name
        }
      }
    }
    throw failure(
      .tokenizerUnsupported,
      "llama.cpp has no name for how this tokenizer splits text; known are those of "
        + GGUFSplitter.names.joined(separator: ", "),
      remedy: "take the GGUF file that the model's author made as the base")
  }

  /// Whether llama.cpp is to put the token before a text.
  fileprivate func addsBOS(_ bos: Int32?) throws -> Bool {
    guard suffixIDs.isEmpty, prefixIDs.isEmpty || prefixIDs == [bos] else {
      throw failure(
        .tokenizerUnsupported,
        "the tokenizer puts \(prefixIDs) before and \(suffixIDs) after a text; a GGUF file can ask "
          + "for the token that begins texts, \(bos.map(String.init) ?? "none")",
        remedy: "take the GGUF file that the model's author made as the base")
    }
    return !prefixIDs.isEmpty
  }
}
