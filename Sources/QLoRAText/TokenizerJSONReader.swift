// Takes tokenizer.json apart into what a tokenizer is built from.
import QLoRADiagnostics
import QLoRAJSON

struct TokenizerJSONReader {
  let json: JSONValue
  let path: String

  /// - Throws: `Diagnostic` E0302 or E0303, naming the key.
  mutating func read() throws -> TokenizerParts {
    let model = try member(json, "model")
    let type = model["type"]?.stringValue ?? "BPE"
    guard type == "BPE" else { throw unsupported("model.type", type, "BPE") }
    if model["byte_fallback"]?.boolValue == true {
      throw unsupported("model.byte_fallback", "true", "byte-level BPE")
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      if let affix = model[key]?.stringValue, !affix.isEmpty {
        throw unsupported("model.\(key)", affix, "none")
      }
    }
    var parts = TokenizerParts(
      source: path, vocabulary: try vocabulary(model), merges: try merges(model))
    parts.ignoresMerges = model["ignore_merges"]?.boolValue ?? false
    parts.added = try addedTokens()
    parts.composes = try composes(json["normalizer"])
    try readSplitter(json["pre_tokenizer"], into: &parts.splitter)
    try checkDecoder(json["decoder"])
    parts.index()
    try readPostProcessor(json["post_processor"], into: &parts)
    return parts
  }

  private func vocabulary(_ model: JSONValue) throws -> [String?] {
    guard let members = model["vocab"]?.objectMembers else {
      throw malformed("model.vocab must be an object of tokens and ids")
    }
    var texts = [String?](repeating: nil, count: members.count)
    for member in members {
      // Vocabularies may have gaps, but none as wide as themselves.
      guard let id = member.value.intValue, id >= 0, id < 2 * members.count + 1024 else {
        throw malformed(
          "the token \"\(member.key)\" has an id that is no number in range", member.position)
      }
      if id >= texts.count {
        texts.append(contentsOf: repeatElement(nil, count: id + 1 - texts.count))
      }
      texts[id] = member.key
    }
    return texts
  }

  private func merges(_ model: JSONValue) throws -> [(left: String, right: String)] {
    guard case .array(let elements)? = model["merges"] else {
      throw malformed("model.merges must be an array")
    }
    return try elements.enumerated().map { rank, element in
      switch element.value {
      case .string(let text):
        return try TokenizerParts.splitMerge(text, rank: rank, source: path)
      case .array(let pair) where pair.count == 2:
        if let left = pair[0].value.stringValue, let right = pair[1].value.stringValue {
          return (left, right)
        }
      default: break
      }
      throw malformed("merge \(rank) is neither \"a b\" nor [\"a\", \"b\"]", element.position)
    }
  }

  private func addedTokens() throws -> [AddedToken] {
    guard case .array(let elements)? = json["added_tokens"] else { return [] }
    return try elements.map { element in
      let value = element.value
      guard let id = value["id"]?.intValue.flatMap({ Int32(exactly: $0) }),
        let text = value["content"]?.stringValue
      else { throw malformed("an added token lacks id or content", element.position) }
      let isSpecial = value["special"]?.boolValue ?? false
      return AddedToken(
        id: id, text: text, isSpecial: isSpecial,
        stripsLeft: value["lstrip"]?.boolValue ?? false,
        stripsRight: value["rstrip"]?.boolValue ?? false,
        isSingleWord: value["single_word"]?.boolValue ?? false,
        isNormalized: value["normalized"]?.boolValue ?? !isSpecial)
    }
  }

  private func composes(_ value: JSONValue?) throws -> Bool {
    guard let value, !value.isNull else { return false }
    switch value["type"]?.stringValue {
    case "NFC": return true
    case "Sequence":
      return try (value["normalizers"]?.arrayValue ?? []).reduce(false) {
        try composes($1) || $0
      }
    case let type: throw unsupported("normalizer.type", type ?? "missing", "none or NFC")
    }
  }

  private func readSplitter(_ value: JSONValue?, into splitter: inout Splitter) throws {
    guard let value, !value.isNull else {
      throw unsupported("pre_tokenizer", "null", "one that ends in ByteLevel")
    }
    let steps =
      value["type"]?.stringValue == "Sequence" ? value["pretokenizers"]?.arrayValue ?? [] : [value]
    for (index, step) in steps.enumerated() {
      let key = "pre_tokenizer step \(index)"
      switch step["type"]?.stringValue {
      case "Digits" where splitter.digits == .kept && splitter.pattern == nil:
        let isOneByOne = step["individual_digits"]?.boolValue ?? false
        splitter.digits = isOneByOne ? .oneByOne : .separated
      case "Split" where splitter.pattern == nil:
        splitter.pattern = try pattern(step, key)
      case "ByteLevel" where index == steps.count - 1:
        splitter.addsPrefixSpace = step["add_prefix_space"]?.boolValue ?? true
        guard step["use_regex"]?.boolValue ?? true else { break }
        guard splitter.pattern == nil else {
          throw unsupported(key, "ByteLevel with use_regex after Split", "use_regex false")
        }
        splitter.pattern = .gpt2
      case let type: throw unsupported(key, type ?? "missing", "Digits, Split, then ByteLevel")
      }
    }
    guard steps.last?["type"]?.stringValue == "ByteLevel" else {
      throw unsupported("pre_tokenizer", "one without ByteLevel", "one that ends in ByteLevel")
    }
    if splitter.addsPrefixSpace, splitter.pattern != .gpt2 {
      throw unsupported("add_prefix_space", "true with a Split", "false")
    }
  }

  private func pattern(_ step: JSONValue, _ key: String) throws -> SplitPattern {
    let text = step["pattern"]?["Regex"]?.stringValue ?? ""
    guard let known = SplitPattern.spellings.first(where: { $0.text == text }) else {
      throw unsupported("\(key): the pattern", text, "that of GPT-2, Llama 3 or Qwen 2")
    }
    guard step["behavior"]?.stringValue == "Isolated", step["invert"]?.boolValue != true else {
      throw unsupported("\(key): behavior", step["behavior"]?.stringValue ?? "", "Isolated")
    }
    return known.pattern
  }

  private func checkDecoder(_ value: JSONValue?) throws {
    let type = value?["type"]?.stringValue ?? "missing"
    guard type == "ByteLevel" else { throw unsupported("decoder.type", type, "ByteLevel") }
  }

  private func readPostProcessor(
    _ value: JSONValue?, into parts: inout TokenizerParts
  ) throws {
    guard let value, !value.isNull else { return }
    switch value["type"]?.stringValue {
    case "ByteLevel": return
    case "Sequence":
      for step in value["processors"]?.arrayValue ?? [] {
        try readPostProcessor(step, into: &parts)
      }
    case "TemplateProcessing":
      var isBefore = true
      for piece in value["single"]?.arrayValue ?? [] {
        if piece["Sequence"] != nil {
          isBefore = false
          continue
        }
        let ids = try templateIDs(piece, value)
        if isBefore { parts.prefixIDs += ids } else { parts.suffixIDs += ids }
      }
    case let type:
      throw unsupported(
        "post_processor.type", type ?? "missing", "ByteLevel or TemplateProcessing")
    }
  }

  private func templateIDs(_ piece: JSONValue, _ processor: JSONValue) throws -> [Int32] {
    guard let name = piece["SpecialToken"]?["id"]?.stringValue,
      let ids = processor["special_tokens"]?[name]?["ids"]?.arrayValue
    else { throw malformed("post_processor.single names a token without ids") }
    return ids.compactMap { $0.intValue.flatMap { Int32(exactly: $0) } }
  }

  private func member(_ value: JSONValue, _ key: String) throws -> JSONValue {
    guard let found = value[key] else { throw malformed("the key \"\(key)\" is missing") }
    return found
  }

  private func malformed(_ message: String, _ position: JSONPosition? = nil) -> Diagnostic {
    let place = position.map {
      DiagnosticLocation.position(file: path, line: $0.line, column: $0.column)
    }
    return Diagnostic(
      .tokenizerMalformed, message, at: place ?? .file(path), remedy: "fetch the file again")
  }

  private func unsupported(_ key: String, _ found: String, _ expected: String) -> Diagnostic {
    Diagnostic(
      .tokenizerUnsupported, "\(key) is \"\(found)\"; supported: \(expected)", at: .file(path))
  }
}
