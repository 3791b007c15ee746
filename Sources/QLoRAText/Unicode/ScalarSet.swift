// What a bracket of a regular expression holds: ranges of characters, and classes by Unicode's
// categories.

/// A set of characters, asked for one by one.
struct ScalarSet: Sendable {
  /// A class that an expression names.
  enum Category: Character, Sendable {
    case letters = "L", numbers = "N", punctuation = "P", symbols = "S", marks = "M", blanks = " "
  }

  private var ranges: [ClosedRange<UInt32>] = []
  private var categories: [Category] = []
  private var isNegated = false
  /// A bit for each of the characters below U+10000, which nearly all are.
  private var bits = [UInt64](repeating: 0, count: 0x10000 / 64)

  init(_ categories: [Category], _ ranges: [ClosedRange<UInt32>], isNegated: Bool = false) {
    (self.categories, self.ranges, self.isNegated) = (categories, ranges, isNegated)
    for range in ranges {
      for value in range.clamped(to: 0...0xFFFF) where range.lowerBound <= 0xFFFF {
        bits[Int(value >> 6)] |= 1 << UInt64(value & 63)
      }
    }
    for category in categories {
      for value in UInt32(0)..<0x10000 {
        guard let scalar = Unicode.Scalar(value), category.holds(scalar) else { continue }
        bits[Int(value >> 6)] |= 1 << UInt64(value & 63)
      }
    }
    if isNegated { for index in bits.indices { bits[index] = ~bits[index] } }
  }

  @inline(__always)
  func contains(_ scalar: Unicode.Scalar) -> Bool {
    let value = scalar.value
    if value < 0x10000 { return bits[Int(value >> 6)] >> UInt64(value & 63) & 1 != 0 }
    return isNegated
      != (ranges.contains { $0.contains(value) } || categories.contains { $0.holds(scalar) })
  }
}

extension ScalarSet.Category {
  /// By the Unicode version that the reference's patterns know.
  fileprivate func holds(_ scalar: Unicode.Scalar) -> Bool {
    switch self {
    case .letters: return ScalarClass.of(scalar) == .letter
    case .numbers: return ScalarClass.of(scalar) == .number
    case .blanks: return scalar.isBlank
    case .punctuation, .symbols, .marks:
      guard kind(scalar.properties.generalCategory) == self else { return false }
      return scalar.isKnown(to: ScalarClass.Version.patterns)
    }
  }

  private func kind(_ category: Unicode.GeneralCategory) -> Self? {
    switch category {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      .punctuation
    case .mathSymbol, .currencySymbol, .modifierSymbol, .otherSymbol: .symbols
    case .nonspacingMark, .spacingMark, .enclosingMark: .marks
    default: nil
    }
  }
}
