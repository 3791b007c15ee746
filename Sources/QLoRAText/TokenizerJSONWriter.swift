// Puts tokenizer.json together from what a tokenizer is built from: the inverse of
// TokenizerJSONReader, for vocabularies that came from a GGUF file.
import QLoRAJSON

struct TokenizerJSONWriter {
  /// Indexed parts.
  let parts: TokenizerParts

  /// The file's content, which PyPI `tokenizers` and `TokenizerJSONReader` both load.
  func json() -> JSONValue {
    .dictionary([
      ("version", "1.0"), ("truncation", .null), ("padding", .null),
      ("added_tokens", .list(addedTokens())),
      ("normalizer", parts.composes ? .dictionary([("type", "NFC")]) : .null),
      ("pre_tokenizer", preTokenizer()),
      ("post_processor", postProcessor()),
      ("decoder", Self.byteLevel(usesPattern: true)),
      ("model", model()),
    ])
  }

  private func addedTokens() -> [JSONValue] {
    parts.added.sorted { $0.id < $1.id }.filter { isFound($0.text, $0.id) }.map { token in
      .dictionary([
        ("id", .int(Int(token.id))), ("content", .string(token.text)),
        ("single_word", .bool(token.isSingleWord)), ("lstrip", .bool(token.stripsLeft)),
        ("rstrip", .bool(token.stripsRight)), ("normalized", .bool(token.isNormalized)),
        ("special", .bool(token.isSpecial)),
      ])
    }
  }

  /// Whether looking the text up gives the id. Of several tokens with the same text one is found,
  /// and an object can hold only that one.
  private func isFound(_ text: String, _ id: Int32) -> Bool {
    !text.isEmpty && parts.id(of: text) == id
  }

  private func preTokenizer() -> JSONValue {
    let splitter = parts.splitter
    var steps: [JSONValue] = []
    if splitter.digits != .kept {
      steps.append(
        .dictionary([
          ("type", "Digits"), ("individual_digits", .bool(splitter.digits == .oneByOne)),
        ]))
    }
    let isBuiltIn = splitter.pattern == .gpt2
    let spelling = SplitPattern.spellings.first { $0.pattern == splitter.pattern }
    if !isBuiltIn, let spelling {
      steps.append(
        .dictionary([
          ("type", "Split"), ("pattern", .dictionary([("Regex", .string(spelling.text))])),
          ("behavior", "Isolated"), ("invert", .bool(false)),
        ]))
    }
    steps.append(
      Self.byteLevel(addsPrefixSpace: splitter.addsPrefixSpace, usesPattern: isBuiltIn))
    if steps.count == 1 { return steps[0] }
    return .dictionary([("type", "Sequence"), ("pretokenizers", .list(steps))])
  }

  private static func byteLevel(
    addsPrefixSpace: Bool = false, usesPattern: Bool
  ) -> JSONValue {
    .dictionary([
      ("type", "ByteLevel"), ("add_prefix_space", .bool(addsPrefixSpace)),
      ("trim_offsets", .bool(false)), ("use_regex", .bool(usesPattern)),
    ])
  }

  /// What goes round a text; never null, since transformers would make up its own.
  private func postProcessor() -> JSONValue {
    let names = (parts.prefixIDs + parts.suffixIDs).compactMap(text)
    if names.isEmpty { return Self.byteLevel(usesPattern: true) }
    func piece(_ kind: String, _ id: String, _ type: Int) -> JSONValue {
      .dictionary([(kind, .dictionary([("id", .string(id)), ("type_id", .int(type))]))])
    }
    func enclosed(_ sequence: String, _ type: Int) -> [JSONValue] {
      parts.prefixIDs.compactMap(text).map { piece("SpecialToken", $0, type) }
        + [piece("Sequence", sequence, type)]
        + parts.suffixIDs.compactMap(text).map { piece("SpecialToken", $0, type) }
    }
    let tokens = zip(parts.prefixIDs + parts.suffixIDs, names).map { id, name in
      JSONMember(
        name,
        .dictionary([
          ("id", .string(name)), ("ids", .list([.int(Int(id))])),
          ("tokens", .list([.string(name)])),
        ]))
    }
    return .dictionary([
      ("type", "TemplateProcessing"), ("single", .list(enclosed("A", 0))),
      ("pair", .list(enclosed("A", 0) + enclosed("B", 1))), ("special_tokens", .object(tokens)),
    ])
  }

  private func text(_ id: Int32) -> String? {
    parts.vocabulary.indices.contains(Int(id)) ? parts.vocabulary[Int(id)] : nil
  }

  private func model() -> JSONValue {
    let vocabulary = parts.vocabulary.enumerated().compactMap { id, text -> JSONMember? in
      guard let text, isFound(text, Int32(id)) else { return nil }
      return JSONMember(text, .int(id))
    }
    return .dictionary([
      ("type", "BPE"), ("dropout", .null), ("unk_token", .null),
      ("continuing_subword_prefix", .null), ("end_of_word_suffix", .null),
      ("fuse_unk", .bool(false)), ("byte_fallback", .bool(false)),
      ("ignore_merges", .bool(parts.ignoresMerges)), ("vocab", .object(vocabulary)),
      ("merges", .list(parts.merges.map { .string($0.left + " " + $0.right) })),
    ])
  }
}
