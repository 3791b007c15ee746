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
    let texts = try parts.allTexts()
    guard texts.count <= rows else {
      throw parts.failure(
        .tokenizerMalformed, "there are \(texts.count) tokens, the embedding has \(rows) rows",
        remedy: "use the tokenizer that came with the weights")
    }
    var kinds = texts.map { $0.isEmpty ? Kind.unused : .normal }
    for token in parts.added { kinds[Int(token.id)] = token.isSpecial ? .control : .userDefined }
    var tokens = texts.enumerated().map { $1.isEmpty ? Self.filler($0) : $1 }
    tokens += (texts.count..<rows).map(Self.filler)
    kinds += Array(repeating: .unused, count: rows - texts.count)
    self.init(
      tokens: tokens, tokenTypes: kinds.map(\.rawValue),
      merges: parts.merges.map { $0.left + " " + $0.right },
      preTokenizer: try parts.ggufName(), bosID: tokenizer.bosToken?.id,
      eosID: tokenizer.eosToken?.id, padID: tokenizer.padToken?.id,
      addBOS: try parts.addsBOS(tokenizer.bosToken?.id), chatTemplate: parts.chatTemplate)
  }

  /// A text for an id that has none, as llama.cpp's converter names it.
  private static func filler(_ id: Int) -> String { "[PAD\(id)]" }
}

extension TokenizerParts {
  /// `tokenizer.ggml.pre` for this tokenizer: the one whose reading gives the same rules.
  fileprivate func ggufName() throws -> String {
    if let token = added.first(where: { $0.isSingleWord || $0.stripsLeft || $0.stripsRight }) {
      throw failure(
        .tokenizerUnsupported,
        "the added token \"\(token.text)\" is one of lstrip, rstrip or single_word, for which GGUF "
          + "has no key",
        remedy: "take the GGUF file that the model's author made as the base")
    }
    for name in ["gpt-2", "smollm", "llama-bpe", "qwen2"] {
      var other = TokenizerParts(source: source, vocabulary: [], merges: [])
      let isLlama3 = try other.applySplitter(named: name)
      if other.splitter == splitter, other.composes == composes, isLlama3 == ignoresMerges {
        return name
      }
    }
    throw failure(
      .tokenizerUnsupported,
      "llama.cpp has no name for how this tokenizer splits text; known are those of GPT-2, SmolLM, "
        + "Llama 3 and Qwen 2",
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
