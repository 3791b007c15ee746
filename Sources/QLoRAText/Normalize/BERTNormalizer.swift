// What BERT's tokenizer does to a text first: it drops controls, sets Chinese characters apart,
// drops accents and makes letters small, each if asked to.
// Source: Devlin et al. 2019, arXiv:1810.04805, the basic tokenizer of its code.

struct BERTNormalizer: Sendable, Equatable {
  var cleansText = true
  var isolatesChinese = true
  /// nil: as `lowercases`.
  var stripsAccents: Bool?
  var lowercases = true

  func apply(_ text: AlignedText) -> AlignedText {
    var text = text
    if cleansText {
      text = text.mapped { scalar in
        // Three blanks are controls and go like those.
        let isControl = scalar.value == 0x85 || (0x0B...0x0C).contains(scalar.value)
        if scalar.isBlank, !isControl { return " " }
        let goes = scalar.value == 0 || scalar.value == 0xFFFD || scalar.isReferenceControl
        return goes ? nil : scalar
      }
    }
    if isolatesChinese { text = Self.isolateChinese(text) }
    if stripsAccents ?? lowercases {
      text = NormalizationForm.nfd.apply(text).mapped { $0.isReferenceNonspacingMark ? nil : $0 }
    }
    return lowercases ? text.lowercased() : text
  }

  private static func isolateChinese(_ text: AlignedText) -> AlignedText {
    guard text.bytes.contains(where: { $0 >= 0xE3 }) else { return text }
    return text.rebuilt { builder in
      var kept = 0
      DecodedScalar.forEach(text.bytes, 0..<text.count) { scalar, range in
        guard isChinese(scalar.value) else { return }
        builder.keep(kept..<range.lowerBound)
        builder.put(" " as Unicode.Scalar, for: range.lowerBound..<range.lowerBound)
        builder.keep(range)
        builder.put(" " as Unicode.Scalar, for: range.upperBound..<range.upperBound)
        kept = range.upperBound
      }
      builder.keep(kept..<text.count)
    }
  }

  /// The reference's blocks of Chinese characters, its gap at 2B820 included.
  private static func isChinese(_ value: UInt32) -> Bool {
    switch value {
    case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F,
      0x2B740...0x2B81F, 0x2B920...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}
