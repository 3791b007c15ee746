// GGUF vocabularies that are not byte-level: SentencePiece's of Llama 2 and T5, and BERT's.
// Source: the GGUF specification's tokenizer keys; llama.cpp, for what they mean.
import QLoRADiagnostics

extension TokenizerParts {
  /// `llama` (pairs by score) and `t5` (unigram).
  static func pieces(_ gguf: GGUFVocabulary, _ vocabulary: Vocabulary) throws -> TokenizerParts {
    let isUnigram = gguf.modelName == "t5"
    let source = "GGUF tokenizer"
    guard let scores = gguf.scores, scores.count == gguf.tokens.count,
      scores.allSatisfy(\.isFinite)
    else {
      throw Diagnostic(
        .tokenizerUnsupported,
        "tokenizer.ggml.model is \"\(gguf.modelName)\", but tokenizer.ggml.scores has "
          + "\(gguf.scores?.count ?? 0) numbers for \(gguf.tokens.count) tokens",
        at: .file(source), remedy: "use the model's Hugging Face folder")
    }
    let kinds = try gguf.tokens.indices.map { id -> SentencePieceTable.Kind in
      guard !gguf.tokenTypes.isEmpty else { return .normal }
      guard let kind = SentencePieceTable.Kind(rawValue: gguf.tokenTypes[id]) else {
        throw Diagnostic(
          .tokenizerMalformed, "the token \(id) is of the unknown type \(gguf.tokenTypes[id])",
          at: .file(source))
      }
      return kind
    }
    let table = SentencePieceTable(
      scores: scores, kinds: kinds, algorithm: isUnigram ? .unigram : .bytePairs,
      unknown: gguf.unknownID ?? kinds.firstIndex(of: .unknown).map { Int32($0) } ?? 0,
      fallsBackToBytes: kinds.contains(.byte))
    guard vocabulary.contains(table.unknown) else {
      throw Diagnostic(
        .controlTokenMissing,
        "tokenizer.ggml.unknown_token_id is \(table.unknown), outside the tokens",
        at: .file(source))
    }
    var parts = TokenizerParts(
      source: source, vocabulary: vocabulary, model: .sentencePiece(table))
    let rules = try normalizer(gguf, table, vocabulary, source)
    parts.normalizer = .sentencePiece(rules)
    var decoder = table.decoder(vocabulary)
    decoder.addsPrefix = rules.addsPrefix
    decoder.removesExtraSpaces = rules.removesExtraSpaces
    parts.decoder = .sentencePiece(decoder)
    parts.added = gguf.addedTokens().filter { kinds[Int($0.id)] != .userDefined }
    if let bos = gguf.bosID, gguf.addBOS ?? !isUnigram { parts.prefixIDs = [bos] }
    if let eos = gguf.eosID, gguf.addEOS ?? isUnigram { parts.suffixIDs = [eos] }
    return parts
  }

  private static func normalizer(
    _ gguf: GGUFVocabulary, _ table: SentencePieceTable, _ vocabulary: Vocabulary,
    _ source: String
  ) throws -> SentencePieceNormalizer {
    var rules = SentencePieceNormalizer()
    if let bytes = gguf.characterMap, !bytes.isEmpty {
      guard let map = CharacterMap(bytes) else {
        throw Diagnostic(
          .tokenizerMalformed, "tokenizer.ggml.precompiled_charsmap is broken", at: .file(source))
      }
      rules.map = map
    }
    rules.addsPrefix = gguf.addSpacePrefix ?? true
    rules.removesExtraSpaces = gguf.removesExtraSpaces ?? false
    rules.protected = table.protected(vocabulary)
    return rules
  }

  /// `bert`. Converters write what begins a word with a mark, and what goes on without `##`.
  static func wordPieces(_ gguf: GGUFVocabulary, _ vocabulary: Vocabulary) throws -> TokenizerParts
  {
    let source = "GGUF tokenizer"
    let mark = SentencePieceNormalizer.mark
    let special = Set(gguf.addedTokens().map(\.id))
    let isMarked = gguf.tokens.contains { $0.utf8.starts(with: mark) }
    let texts = gguf.tokens.enumerated().map { id, text -> String in
      let isControl = special.contains(Int32(id)) || Self.isBracketed(text)
      guard isMarked, !isControl else { return text }
      let bytes = Array(text.utf8)
      let isFirst = bytes.starts(with: mark)
      return isFirst ? String(decoding: bytes.dropFirst(mark.count), as: UTF8.self) : "##" + text
    }
    let unknown = gguf.unknownID ?? vocabulary.id(of: "[UNK]")
    guard let unknown, vocabulary.contains(unknown) else {
      throw Diagnostic(
        .controlTokenMissing, "no token stands for the unknown", at: .file(source))
    }
    var parts = TokenizerParts(
      source: source, vocabulary: Vocabulary(texts),
      model: .wordPiece(prefix: Array("##".utf8), unknown: unknown, longestWord: 100))
    parts.normalizer = .bert(BERTNormalizer())
    parts.preTokenizers = [.bert]
    parts.decoder = .wordPiece(prefix: Array("##".utf8), cleansUp: true)
    parts.added = gguf.addedTokens()
    let begins = gguf.classID ?? gguf.bosID ?? vocabulary.id(of: "[CLS]")
    let ends = gguf.separatorID ?? gguf.eosID ?? vocabulary.id(of: "[SEP]")
    if let begins, gguf.addBOS ?? true { parts.prefixIDs = [begins] }
    if let ends, gguf.addEOS ?? true { parts.suffixIDs = [ends] }
    return parts
  }

  /// `[CLS]` and its like, which converters leave as they are.
  private static func isBracketed(_ text: String) -> Bool {
    text.utf8.first == UInt8(ascii: "[") && text.utf8.last == UInt8(ascii: "]")
      && text.utf8.count > 2
  }
}
