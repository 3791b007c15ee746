// Puts tokenizer.json together from what a tokenizer is built from: the inverse of
// TokenizerJSONReader, for vocabularies that came from a GGUF file.
import QLoRADiagnostics
import QLoRAJSON

struct TokenizerJSONWriter {
  let parts: TokenizerParts

  /// The file's content, which PyPI `tokenizers` and `TokenizerJSONReader` both load.
  ///
  /// - Throws: `tokenizerUnsupported` for vocabularies that are neither byte-level nor of
  ///   SentencePiece's pairs.
  func json() throws -> JSONValue {
    let sections: Sections
    switch parts.model {
    case .bytePairs(let merges, let spelling) where parts.decoder == .byteLevel:
      sections = try byteLevel(merges, spelling)
    case .bytePairs(let merges, let spelling): sections = markedPairs(merges, spelling)
    case .sentencePiece(let table) where table.algorithm == .bytePairs:
      sections = try scoredPairs(table)
    default:
      throw parts.failure(
        .tokenizerUnsupported,
        "a vocabulary of this kind is not turned into a tokenizer.json",
        remedy: "take tokenizer.json from the model's Hugging Face folder")
    }
    return .dictionary([
      ("version", "1.0"), ("truncation", .null), ("padding", .null),
      ("added_tokens", .list(addedTokens())),
      ("normalizer", sections.normalizer), ("pre_tokenizer", sections.preTokenizer),
      ("post_processor", postProcessor()), ("decoder", sections.decoder),
      ("model", sections.model),
    ])
  }

  struct Sections {
    var normalizer: JSONValue
    var preTokenizer: JSONValue
    var decoder: JSONValue
    var model: JSONValue
  }

  static func part(_ type: String, _ members: (String, JSONValue)...) -> JSONValue {
    .dictionary([("type", .string(type))] + members)
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

  /// What goes round a text; never null, since transformers would make up its own.
  private func postProcessor() -> JSONValue {
    let ids = parts.prefixIDs + parts.suffixIDs
    if ids.isEmpty { return Self.byteLevel(usesPattern: true) }
    func piece(_ kind: String, _ id: String, _ type: Int) -> JSONValue {
      .dictionary([(kind, .dictionary([("id", .string(id)), ("type_id", .int(type))]))])
    }
    func enclosed(_ sequence: String, _ type: Int) -> [JSONValue] {
      parts.prefixIDs.map { piece("SpecialToken", parts.text(of: $0), type) }
        + [piece("Sequence", sequence, type)]
        + parts.suffixIDs.map { piece("SpecialToken", parts.text(of: $0), type) }
    }
    let tokens = ids.map { id in
      let name = parts.text(of: id)
      return JSONMember(
        name,
        .dictionary([
          ("id", .string(name)), ("ids", .list([.int(Int(id))])),
          ("tokens", .list([.string(name)])),
        ]))
    }
    return Self.part(
      "TemplateProcessing", ("single", .list(enclosed("A", 0))),
      ("pair", .list(enclosed("A", 0) + enclosed("B", 1))), ("special_tokens", .object(tokens)))
  }

  static func byteLevel(addsPrefixSpace: Bool = false, usesPattern: Bool) -> JSONValue {
    part(
      "ByteLevel", ("add_prefix_space", .bool(addsPrefixSpace)), ("trim_offsets", .bool(false)),
      ("use_regex", .bool(usesPattern)))
  }

  func model(
    _ merges: MergeList, unknown: Int32?, fallsBackToBytes: Bool, ignoresMerges: Bool
  ) -> JSONValue {
    let tokens = (0..<Int32(parts.vocabulary.count)).compactMap { id -> JSONMember? in
      let text = parts.vocabulary.text(of: id)
      return isFound(text, id) ? JSONMember(text, .int(Int(id))) : nil
    }
    return Self.part(
      "BPE", ("dropout", .null),
      ("unk_token", unknown.map { .string(parts.vocabulary.text(of: $0)) } ?? .null),
      ("continuing_subword_prefix", .null), ("end_of_word_suffix", .null),
      ("fuse_unk", .bool(unknown != nil)), ("byte_fallback", .bool(fallsBackToBytes)),
      ("ignore_merges", .bool(ignoresMerges)), ("vocab", .object(tokens)),
      ("merges", .list(parts.spelled(merges).map { .string($0) })))
  }
}
