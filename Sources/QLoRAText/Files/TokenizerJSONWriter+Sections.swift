// The sections of tokenizer.json that differ between byte-level vocabularies and SentencePiece's.
import QLoRADiagnostics
import QLoRAJSON

extension TokenizerJSONWriter {
  /// - Throws: `tokenizerUnsupported` for rules that no GGUF file asks for.
  func byteLevel(
    _ merges: MergeList, _ spelling: BytePairModel.Spelling
  ) throws -> Sections {
    let steps = try parts.preTokenizers.map(preTokenizer)
    return Sections(
      normalizer: parts.normalizer == .form(.nfc) ? Self.part("NFC") : .null,
      preTokenizer: steps.count == 1
        ? steps[0] : Self.part("Sequence", ("pretokenizers", .list(steps))),
      decoder: Self.byteLevel(usesPattern: true),
      model: model(
        merges, unknown: spelling.unknown, fallsBackToBytes: spelling.fallsBackToBytes,
        ignoresMerges: spelling.ignoresMerges))
  }

  /// Those of Gemma since its fourth, whose spaces are marks.
  func markedPairs(_ merges: MergeList, _ spelling: BytePairModel.Spelling) -> Sections {
    Sections(
      normalizer: Self.replace(" ", Self.mark), preTokenizer: .null,
      decoder: Self.part(
        "Sequence",
        (
          "decoders",
          [Self.replace(Self.mark, " "), Self.part("ByteFallback"), Self.part("Fuse")]
        )),
      model: model(
        merges, unknown: spelling.unknown, fallsBackToBytes: spelling.fallsBackToBytes,
        ignoresMerges: spelling.ignoresMerges))
  }

  private static let mark = "\u{2581}"

  private static func replace(_ old: String, _ new: String) -> JSONValue {
    part("Replace", ("pattern", .dictionary([("String", .string(old))])), ("content", .string(new)))
  }

  private func preTokenizer(_ step: PreTokenizer) throws -> JSONValue {
    switch step {
    case .digits(let oneByOne):
      return Self.part("Digits", ("individual_digits", .bool(oneByOne)))
    case .byteLevel(let addsPrefixSpace, let splits):
      return Self.byteLevel(addsPrefixSpace: addsPrefixSpace, usesPattern: splits)
    case .punctuation(let behavior):
      return Self.part("Punctuation", ("behavior", .string(behavior.rawValue)))
    case .split(let pattern, let behavior, let isInverted):
      guard let spelling = pattern.spelling else { break }
      return Self.part(
        "Split", ("pattern", .dictionary([("Regex", .string(spelling))])),
        ("behavior", .string(behavior.rawValue)), ("invert", .bool(isInverted)))
    default: break
    }
    throw parts.failure(
      .tokenizerUnsupported, "a splitter of this kind is not turned into a tokenizer.json")
  }

  /// SentencePiece's pairs as merges: all pairs of pieces that make a piece, by its score.
  ///
  /// - Throws: `tokenizerUnsupported` for a map of characters, or removed spaces.
  func scoredPairs(_ table: SentencePieceTable) throws -> Sections {
    guard case .sentencePiece(let rules)? = parts.normalizer, rules.map == nil,
      !rules.removesExtraSpaces, rules.escapesSpaces
    else {
      throw parts.failure(
        .tokenizerUnsupported,
        "a vocabulary that maps characters or removes spaces is not turned into a tokenizer.json",
        remedy: "take tokenizer.json from the model's Hugging Face folder")
    }
    let (mark, replace) = (Self.mark, Self.replace)
    let prefix = rules.addsPrefix ? [Self.part("Prepend", ("prepend", .string(mark)))] : []
    let strip = Self.part("Strip", ("content", " "), ("start", 1), ("stop", 0))
    let decoders = [replace(mark, " "), Self.part("ByteFallback"), Self.part("Fuse")]
    return Sections(
      normalizer: Self.part("Sequence", ("normalizers", .list(prefix + [replace(" ", mark)]))),
      preTokenizer: .null,
      decoder: Self.part(
        "Sequence", ("decoders", .list(decoders + (rules.addsPrefix ? [strip] : [])))),
      model: model(
        merges(table), unknown: table.unknown, fallsBackToBytes: table.fallsBackToBytes,
        ignoresMerges: false))
  }

  private func merges(_ table: SentencePieceTable) -> MergeList {
    let vocabulary = parts.vocabulary
    let isPart = table.kinds.map { $0 == .normal }
    let pieces = table.kinds.indices.filter { isPart[$0] }.sorted { one, other in
      (table.scores[other], one) < (table.scores[one], other)
    }
    var list = MergeList()
    for piece in pieces {
      let text = Array(vocabulary.bytes(of: Int32(piece)))
      var pairs: [(left: Int32, right: Int32)] = []
      for middle in 1..<max(text.count, 1) where text[middle] & 0xC0 != 0x80 {
        if let left = vocabulary.id(of: text, 0..<middle), isPart[Int(left)],
          let right = vocabulary.id(of: text, middle..<text.count), isPart[Int(right)]
        {
          pairs.append((left, right))
        }
      }
      pairs.sort { ($0.left, $0.right) < ($1.left, $1.right) }
      for pair in pairs { list.append(pair.left, pair.right, Int32(piece)) }
    }
    return list
  }
}
