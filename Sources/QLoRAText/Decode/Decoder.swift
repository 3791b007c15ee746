// The decoders of tokenizer.json: how the texts of tokens make a text.
// Source: the documentation of PyPI `tokenizers`, whose texts these are.

indirect enum Decoder: Sendable, Equatable {
  case sequence([Decoder])
  /// Characters of the byte alphabet become their bytes.
  case byteLevel
  /// `<0x0A>` becomes its byte; a run that is no UTF-8 as a whole becomes as many U+FFFD.
  case byteFallback
  /// All texts become one.
  case fuse
  case metaspace(Metaspace)
  case replace(TextPattern, with: [UInt8])
  /// Takes up to so many of one character from both ends of each text.
  case strip([UInt8], start: Int, stop: Int)
  case wordPiece(prefix: [UInt8], cleansUp: Bool)
  /// The suffix becomes a space, at the end nothing.
  case bpe(suffix: [UInt8])
  case ctc(pad: [UInt8], delimiter: [UInt8], cleansUp: Bool)
  /// Texts with spaces between them: what no decoder means.
  case spaced
  case sentencePiece(SentencePieceDecoder)

  /// The steps one after the other.
  var steps: [Decoder] {
    guard case .sequence(let parts) = self else { return [self] }
    return parts.flatMap(\.steps)
  }

  /// What a token stands for inside of a text, where neither its beginning nor its end is near.
  func bytes(of token: DecodedToken) -> [UInt8] {
    var text = token.text
    for step in steps {
      switch step {
      case .byteLevel: if !token.isAdded { text = ByteAlphabet.bytes(of: text[...]) ?? text }
      case .byteFallback: if let byte = Self.fallbackByte(text) { text = [byte] }
      case .metaspace(let rules): text = Self.replace(rules.mark, by: [0x20], in: text)
      case .replace(let pattern, let content): text = Self.replace(pattern, by: content, in: text)
      case .wordPiece(let prefix, let cleansUp):
        text = text.starts(with: prefix) ? Array(text.dropFirst(prefix.count)) : [0x20] + text
        if cleansUp { text = WordPieceCleanup.apply(text) }
      case .bpe(let suffix): text = Self.replace(suffix, by: [0x20], in: text)
      case .ctc(let pad, let delimiter, let cleansUp):
        text = Self.replace(pad, by: [], in: text)
        if cleansUp { text = Self.replace(delimiter, by: [0x20], in: text) }
      case .sentencePiece(let rules): text = rules.bytes(of: token)
      case .sequence, .fuse, .strip, .spaced: break
      }
    }
    return text
  }

  static func replace(_ old: [UInt8], by new: [UInt8], in text: [UInt8]) -> [UInt8] {
    old.isEmpty ? text : replace(.literal(old), by: new, in: text)
  }

  static func replace(_ old: TextPattern, by new: [UInt8], in text: [UInt8]) -> [UInt8] {
    // Of one token the bytes may be half a character, in which no expression finds anything.
    if !old.isLiteral, String(validating: text, as: UTF8.self) == nil { return text }
    var result: [UInt8] = []
    var kept = 0
    old.forEachMatch(in: text, 0..<text.count) { range in
      result.append(contentsOf: text[kept..<range.lowerBound])
      result.append(contentsOf: new)
      kept = range.upperBound
    }
    if kept == 0, result.isEmpty { return text }
    result.append(contentsOf: text[kept...])
    return result
  }

  /// The byte of `<0x0A>`, two digits of either case.
  static func fallbackByte(_ text: [UInt8]) -> UInt8? {
    guard text.count == 6, text.starts(with: "<0x".utf8), text[5] == UInt8(ascii: ">") else {
      return nil
    }
    // As Rust reads numbers, a sign may stand for the first digit.
    let isSigned = text[3] == UInt8(ascii: "+")
    return UInt8(String(decoding: text[(isSigned ? 4 : 3)..<5], as: UTF8.self), radix: 16)
  }
}

/// A token on its way to text.
struct DecodedToken {
  var id: Int32
  /// As the vocabulary spells it.
  var text: [UInt8]
  /// Not of the model's vocabulary: its text is what it means.
  var isAdded: Bool
}

/// What the WordPiece decoder does to English texts.
enum WordPieceCleanup {
  private static let rules = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"),
    (" 'm", "'m"), (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (old: Array($0.0.utf8), new: Array($0.1.utf8)) }

  static func apply(_ text: [UInt8]) -> [UInt8] {
    guard text.contains(0x20) else { return text }
    return rules.reduce(text) { Decoder.replace($1.old, by: $1.new, in: $0) }
  }
}
