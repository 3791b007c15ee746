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
  /// Each character replaced by another or dropped.
  func mapped(_ change: (Unicode.Scalar) -> Unicode.Scalar?) -> AlignedText {
    var isChanged = false
    let result = rebuilt { builder in
      var kept = 0
      DecodedScalar.forEach(bytes, 0..<count) { scalar, range in
        let new = change(scalar)
        if new == scalar { return }
        builder.keep(kept..<range.lowerBound)
        if let new { builder.put(new, for: range) }
        kept = range.upperBound
        isChanged = true
      }
      builder.keep(kept..<count)
    }
    return isChanged ? result : self
  }

  /// Small letters, character by character.
  func lowercased() -> AlignedText {
    guard bytes.contains(where: { $0 >= 0x80 || (0x41...0x5A).contains($0) }) else { return self }
    return rebuilt { builder in
      var kept = 0
      DecodedScalar.forEach(bytes, 0..<count) { scalar, range in
        if scalar.value < 0x80 {
          guard (0x41...0x5A).contains(scalar.value) else { return }
          builder.keep(kept..<range.lowerBound)
          builder.put(CollectionOfOne(UInt8(scalar.value) | 0x20), for: range)
          kept = range.upperBound
          return
        }
        let properties = scalar.properties
        guard properties.changesWhenLowercased, scalar.isKnown(to: ScalarClass.Version.language)
        else { return }
        builder.keep(kept..<range.lowerBound)
        builder.put(properties.lowercaseMapping.utf8, for: range)
        kept = range.upperBound
      }
      builder.keep(kept..<count)
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
