// A tokenizer from the vocabulary of a GGUF file, of whatever kind the file names.
// Source: the GGUF specification's tokenizer keys; llama.cpp, for what they mean.
import QLoRADiagnostics

extension Tokenizer {
  /// Builds the tokenizer that `tokenizer.ggml.*` describes.
  ///
  /// - Throws: `Diagnostic` E0302 for contradictions, E0303 for a model or splitter unknown here.
  package convenience init(gguf: GGUFVocabulary) throws {
    try self.init(TokenizerParts(gguf: gguf))
  }
}

extension TokenizerParts {
  /// What messages call the file.
  private static let ggufSource = "GGUF tokenizer"

  init(gguf: GGUFVocabulary) throws {
    guard gguf.tokenTypes.isEmpty || gguf.tokenTypes.count == gguf.tokens.count else {
      throw Diagnostic(
        .tokenizerMalformed,
        "tokenizer.ggml.token_type has \(gguf.tokenTypes.count) entries for "
          + "\(gguf.tokens.count) tokens", at: .file(Self.ggufSource))
    }
    let vocabulary = Vocabulary(gguf.tokens)
    switch gguf.modelName {
    case "gemma4": self = try Self.markedPairs(gguf, vocabulary)
    case "gpt2" where gguf.preTokenizer == "gemma4":
      self = try Self.markedPairs(gguf, vocabulary)
    case "gpt2": self = try Self.bytePairs(gguf, vocabulary)
    case "llama", "t5": self = try Self.pieces(gguf, vocabulary)
    case "bert": self = try Self.wordPieces(gguf, vocabulary)
    default:
      throw Diagnostic(
        .tokenizerUnsupported,
        "tokenizer.ggml.model is \"\(gguf.modelName)\"; supported: gpt2, gemma4, llama, t5, bert",
        at: .file(Self.ggufSource),
        remedy: "use the model's Hugging Face folder with its tokenizer.json")
    }
    bos = try text(gguf.bosID, "tokenizer.ggml.bos_token_id")
    eos = try text(gguf.eosID, "tokenizer.ggml.eos_token_id")
    pad = try text(gguf.padID, "tokenizer.ggml.padding_token_id")
    chatTemplate = gguf.chatTemplate
  }

  func text(_ id: Int32?, _ key: String) throws -> String? {
    guard let id else { return nil }
    guard vocabulary.contains(id) else {
      throw failure(
        .controlTokenMissing, "\(key) is \(id), outside the \(vocabulary.count) tokens")
    }
    return vocabulary.text(of: id)
  }

  // MARK: Byte pairs

  private static func bytePairs(
    _ gguf: GGUFVocabulary, _ vocabulary: Vocabulary
  ) throws -> TokenizerParts {
    let merges = try merges(gguf, vocabulary)
    var parts = TokenizerParts(
      source: ggufSource, vocabulary: vocabulary, model: .bytePairs(merges, .init()))
    let rules = try GGUFSplitter(name: gguf.preTokenizer, source: ggufSource)
    rules.apply(to: &parts)
    parts.decoder = .byteLevel
    parts.added = gguf.addedTokens()
    if let bos = gguf.bosID, gguf.addBOS ?? rules.addsBOS { parts.prefixIDs = [bos] }
    if let eos = gguf.eosID, gguf.addEOS ?? false { parts.suffixIDs = [eos] }
    return parts
  }

  /// Gemma's since its fourth: pairs in an order, over characters, with marks for spaces.
  private static func markedPairs(
    _ gguf: GGUFVocabulary, _ vocabulary: Vocabulary
  ) throws -> TokenizerParts {
    var spelling = BytePairModel.Spelling()
    spelling.fallsBackToBytes = true
    spelling.fusesUnknown = true
    spelling.unknown = gguf.unknownID ?? vocabulary.id(of: "<unk>")
    if let unknown = spelling.unknown, !vocabulary.contains(unknown) {
      throw Diagnostic(
        .controlTokenMissing, "tokenizer.ggml.unknown_token_id is \(unknown), outside the tokens",
        at: .file(ggufSource))
    }
    var parts = TokenizerParts(
      source: ggufSource, vocabulary: vocabulary,
      model: .bytePairs(try merges(gguf, vocabulary), spelling))
    let mark = SentencePieceNormalizer.mark
    parts.normalizer = .replace(.literal([0x20]), with: mark)
    parts.decoder = .sequence([.replace(.literal(mark), with: [0x20]), .byteFallback, .fuse])
    parts.added = gguf.addedTokens()
    // Several line breaks are one token, whatever their pairs are.
    let known = Set(parts.added.map(\.id))
    for (id, text) in gguf.tokens.enumerated() where !known.contains(Int32(id)) {
      guard text.utf8.count > 1, text.utf8.allSatisfy({ $0 == 0x0A }) else { continue }
      parts.added.append(AddedToken(id: Int32(id), text: text, isSpecial: false))
    }
    // Converters once wrote that there is none, which readers set right.
    if let bos = gguf.bosID { parts.prefixIDs = [bos] }
    if let eos = gguf.eosID, gguf.addEOS ?? false { parts.suffixIDs = [eos] }
    return parts
  }

  private static func merges(
    _ gguf: GGUFVocabulary, _ vocabulary: Vocabulary
  ) throws -> MergeList {
    var merges = MergeList()
    for (rank, text) in gguf.merges.enumerated() {
      let (left, right) = try splitMerge(text, rank: rank)
      guard let first = vocabulary.id(of: left), let second = vocabulary.id(of: right),
        let result = vocabulary.id(of: left + right)
      else {
        throw Diagnostic(
          .tokenizerMalformed,
          "merge \(rank) (\"\(text)\") has a part or result that is no token of the vocabulary",
          at: .file(ggufSource))
      }
      merges.append(first, second, result)
    }
    return merges
  }

  /// The two parts of a merge written as `left right`; neither part holds a space.
  private static func splitMerge(
    _ text: String, rank: Int
  ) throws -> (left: String, right: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
      throw Diagnostic(
        .tokenizerMalformed, "merge \(rank) is \"\(text)\"; expected two parts and a space",
        at: .file("GGUF tokenizer.ggml.merges"))
    }
    return (String(parts[0]) ?? "", String(parts[1]) ?? "")
  }
}

extension GGUFVocabulary {
  /// The tokens that are found in text as a whole, by id. The two that begin and end texts are
  /// control tokens whatever type a converter gave them, as they are in transformers.
  func addedTokens() -> [AddedToken] {
    tokens.indices.compactMap { index in
      let id = Int32(index)
      let type = tokenTypes.isEmpty ? 1 : tokenTypes[index]
      let isSpecial = type == 3 || id == bosID || id == eosID
      guard isSpecial || type == 4 else { return nil }
      return AddedToken(id: id, text: tokens[index], isSpecial: isSpecial)
    }
  }
}
