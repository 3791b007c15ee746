// The normalizers of tokenizer.json: what is done to a text before it is cut into words.
// Source: the documentation of PyPI `tokenizers`, whose results these give.

indirect enum Normalizer: Sendable, Equatable {
  case sequence([Normalizer])
  case form(NormalizationForm)
  case lowercase
  case stripAccents
  case strip(left: Bool, right: Bool)
  /// Puts a text before any that is not empty.
  case prepend([UInt8])
  case replace(TextPattern, with: [UInt8])
  case bert(BERTNormalizer)
  case precompiled(CharacterMap)
  case nmt
  /// Spells bytes by the byte alphabet.
  case byteLevel
  case sentencePiece(SentencePieceNormalizer)

  func apply(_ text: AlignedText) -> AlignedText {
    guard !text.isEmpty else { return text }
    switch self {
    case .sequence(let steps): return steps.reduce(text) { $1.apply($0) }
    case .form(let form): return form.apply(text)
    case .lowercase: return text.lowercased()
    case .stripAccents: return text.mapped { $0.isReferenceMark ? nil : $0 }
    case .strip(let left, let right): return text.stripped(left: left, right: right)
    case .prepend(let prefix):
      return text.rebuilt {
        $0.put(prefix, for: 0..<0)
        $0.keep(0..<text.count)
      }
    case .replace(let pattern, let content): return text.replacing(pattern, with: content)
    case .bert(let rules): return rules.apply(text)
    case .precompiled(let map): return map.apply(text)
    case .nmt: return text.mapped(Self.nmt)
    case .byteLevel: return text.spelledByBytes()
    case .sentencePiece(let rules): return rules.apply(text)
    }
  }

  /// How many bytes a byte may become, at most or nearly so. Steps that multiply texts without end
  /// are somebody's trap.
  var growth: Double {
    switch self {
    case .sequence(let steps): steps.reduce(1) { $0 * $1.growth }
    // The longest decomposition is that of U+FDFA: three bytes become 33.
    case .form: 11
    case .byteLevel: 2
    case .lowercase, .bert: 3
    case .prepend(let prefix): Double(1 + prefix.count)
    case .replace(.literal(let old), let new): max(1, Double(new.count) / Double(old.count))
    case .replace(_, let new): Double(1 + new.count)
    case .precompiled(let map): Double(max(1, map.longestReplacement))
    case .sentencePiece(let rules): Double(max(3, 3 * (rules.map?.longestReplacement ?? 1)))
    case .stripAccents, .strip, .nmt: 1
    }
  }

  /// Controls go, blanks and what stands for them become spaces.
  private static func nmt(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
    switch scalar.value {
    case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: nil
    case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
      " "
    default: scalar
    }
  }
}

extension AlignedText {
  /// Each character replaced by another or dropped; the printable ones of ASCII stay.
  func mapped(_ change: (Unicode.Scalar) -> Unicode.Scalar?) -> AlignedText {
    let bytes = bytes
    guard bytes.contains(where: { $0 &- 0x20 >= 0x5F }) else { return self }
    return rebuilt { builder in
      var (kept, index) = (0, 0)
      while index < bytes.count {
        if bytes[index] &- 0x20 < 0x5F {
          index += 1
          continue
        }
        let old = DecodedScalar(bytes, at: index)
        let range = index..<index + old.count
        index = range.upperBound
        let new = change(old.scalar)
        if new == old.scalar { continue }
        builder.keep(kept..<range.lowerBound)
        if let new { builder.put(new, for: range) }
        kept = index
      }
      builder.keep(kept..<bytes.count)
    }
  }

  /// Small letters, character by character.
  func lowercased() -> AlignedText {
    let bytes = bytes
    guard bytes.contains(where: { $0 >= 0x80 || $0 &- 0x41 < 26 }) else { return self }
    return rebuilt { builder in
      var (kept, index) = (0, 0)
      while index < bytes.count {
        let byte = bytes[index]
        if byte < 0x80 {
          if byte &- 0x41 < 26 {
            builder.keep(kept..<index)
            builder.put(byte | 0x20, at: index)
            kept = index + 1
          }
          index += 1
          continue
        }
        let old = DecodedScalar(bytes, at: index)
        let range = index..<index + old.count
        index = range.upperBound
        let properties = old.scalar.properties
        guard properties.changesWhenLowercased, old.scalar.isKnown(to: ScalarClass.Version.language)
        else { continue }
        builder.keep(kept..<range.lowerBound)
        builder.put(properties.lowercaseMapping.utf8, for: range)
        kept = index
      }
      builder.keep(kept..<bytes.count)
    }
  }

  func stripped(left: Bool, right: Bool) -> AlignedText {
    var (start, end) = (0, count)
    while left, start < end {
      let first = DecodedScalar(bytes, at: start)
      guard first.scalar.isBlank else { break }
      start += first.count
    }
    while right, end > start {
      let last = DecodedScalar(bytes, before: end)
      guard last.scalar.isBlank else { break }
      end -= last.count
    }
    return start == 0 && end == count ? self : rebuilt { $0.keep(start..<end) }
  }

  func replacing(_ pattern: TextPattern, with content: [UInt8]) -> AlignedText {
    var isChanged = false
    let result = rebuilt { builder in
      var kept = 0
      pattern.forEachMatch(in: bytes, 0..<count) { range in
        builder.keep(kept..<range.lowerBound)
        builder.put(content, for: range)
        kept = range.upperBound
        isChanged = true
      }
      builder.keep(kept..<count)
    }
    return isChanged ? result : self
  }

  /// Every byte as the character of the byte alphabet that stands for it.
  func spelledByBytes() -> AlignedText {
    rebuilt { builder in
      DecodedScalar.forEach(bytes, 0..<count) { _, range in
        for index in range { builder.put(ByteAlphabet.scalars[Int(bytes[index])], for: range) }
      }
    }
  }
}
