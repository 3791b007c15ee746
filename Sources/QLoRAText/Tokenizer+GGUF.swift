// A tokenizer from the vocabulary of a GGUF file, with the splitter that the file names.
// Source: the GGUF specification's tokenizer keys; the names are llama.cpp's.
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
  init(gguf: GGUFVocabulary) throws {
    let merges = try gguf.merges.enumerated().map { rank, text in
      try Self.splitMerge(text, rank: rank, source: "GGUF tokenizer.ggml.merges")
    }
    self.init(source: "GGUF tokenizer", vocabulary: gguf.tokens, merges: merges)
    guard gguf.modelName == "gpt2" else {
      throw failure(
        .tokenizerUnsupported,
        "tokenizer.ggml.model is \"\(gguf.modelName)\"; only \"gpt2\" (byte-level BPE) is "
          + "supported")
    }
    guard gguf.tokenTypes.isEmpty || gguf.tokenTypes.count == gguf.tokens.count else {
      throw failure(
        .tokenizerMalformed,
        "tokenizer.ggml.token_type has \(gguf.tokenTypes.count) entries for "
          + "\(gguf.tokens.count) tokens")
    }
    let isLlama3 = try applySplitter(named: gguf.preTokenizer)
    ignoresMerges = isLlama3
    bos = try text(gguf.bosID, "tokenizer.ggml.bos_token_id")
    eos = try text(gguf.eosID, "tokenizer.ggml.eos_token_id")
    pad = try text(gguf.padID, "tokenizer.ggml.padding_token_id")
    added = gguf.addedTokens()
    index()
    chatTemplate = gguf.chatTemplate
    if let bos = gguf.bosID, gguf.addBOS ?? isLlama3 { prefixIDs = [bos] }
  }
}

extension GGUFVocabulary {
  /// The tokens that are found in text as a whole, by id. The two that begin and end texts are
  /// control tokens whatever type a converter gave them, as they are in transformers.
  fileprivate func addedTokens() -> [AddedToken] {
    tokens.indices.compactMap { index in
      let id = Int32(index)
      let type = tokenTypes.isEmpty ? 1 : tokenTypes[index]
      let isSpecial = type == 3 || id == bosID || id == eosID
      guard isSpecial || type == 4 else { return nil }
      return AddedToken(id: id, text: tokens[index], isSpecial: isSpecial)
    }
  }
}

extension TokenizerParts {
  /// Sets the splitter by its GGUF name; says whether it is Llama 3's.
  mutating func applySplitter(named name: String) throws -> Bool {
    switch name {
    case "gpt-2", "mpt", "olmo", "phi-2": splitter.pattern = .gpt2
    case "smollm", "refact", "codeshell":
      splitter.digits = .oneByOne
      splitter.pattern = .gpt2
    case "llama-bpe", "llama3", "llama-v3": splitter.pattern = .llama3
    case "qwen2", "deepseek-r1-qwen":
      splitter.pattern = .qwen2
      // GGUF has no key for it, but the model saw composed text only.
      composes = true
    default:
      throw failure(
        .tokenizerUnsupported,
        "tokenizer.ggml.pre is \"\(name)\"; known are gpt-2, smollm, llama-bpe and qwen2",
        remedy: "use the model's Hugging Face folder with its tokenizer.json")
    }
    return splitter.pattern == .llama3
  }

  func text(_ id: Int32?, _ key: String) throws -> String? {
    guard let id else { return nil }
    guard vocabulary.indices.contains(Int(id)), let text = vocabulary[Int(id)] else {
      throw failure(
        .controlTokenMissing, "\(key) is \(id), outside the \(vocabulary.count) tokens")
    }
    return text
  }

  /// The two parts of a merge written as `left right`; neither part holds a space.
  static func splitMerge(
    _ text: String, rank: Int, source: String
  ) throws -> (left: String, right: String) {
    let parts = text.utf8.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else {
      throw Diagnostic(
        .tokenizerMalformed, "merge \(rank) is \"\(text)\"; expected two parts and a space",
        at: .file(source))
    }
    return (String(parts[0]) ?? "", String(parts[1]) ?? "")
  }
}
