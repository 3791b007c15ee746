// What the splitting patterns and normalizers ask of a character, each by the Unicode version that
// the reference asks. Ids must not depend on the age of Swift's own tables.

/// The classes `\p{L}`, `\p{N}`, `\s` and the rest.
enum ScalarClass: UInt8, Sendable {
  case letter, number, space, other

  /// The Unicode versions that the reference's parts know. Characters that came later are
  /// unassigned to them.
  enum Version {
    /// The pattern engines.
    static let patterns = 16
    /// Rust's own tables: digits, small letters.
    static let language = 17
    /// Its tables of categories.
    static let categories = 8
    /// Its composition tables.
    static let composition = 9
  }

  /// Scalars below this have their class in a table; it spans all but rare scripts and symbols.
  private static let tableEnd: UInt32 = 0x10000

  private static let table: [ScalarClass] = (0..<tableEnd).map { value in
    Unicode.Scalar(value).map(compute) ?? .other
  }

  @inline(__always)
  static func of(_ scalar: Unicode.Scalar) -> ScalarClass {
    scalar.value < tableEnd ? table[Int(scalar.value)] : compute(scalar)
  }

  private static func compute(_ scalar: Unicode.Scalar) -> ScalarClass {
    let properties = scalar.properties
    let found: ScalarClass
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
      found = .letter
    case .decimalNumber, .letterNumber, .otherNumber: found = .number
    default: return properties.isWhitespace ? .space : .other
    }
    return scalar.isKnown(to: Version.patterns) ? found : .other
  }
}

extension Unicode.Scalar {
  /// Whether Unicode had the character in a version.
  func isKnown(to version: Int) -> Bool {
    properties.age.map { $0.major <= version } ?? false
  }

  /// What the digit splitter takes for a digit; the reference asks Rust's tables, one version
  /// newer than its pattern engine's.
  var isSplitDigit: Bool {
    if value < 0x80 { return (0x30...0x39).contains(value) }
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber:
      return isKnown(to: ScalarClass.Version.language)
    default: return false
    }
  }

  /// `\w` of the reference: alphabetic, marks, decimal digits, connectors and joiners.
  var isPatternWord: Bool {
    guard isKnown(to: ScalarClass.Version.patterns) else { return false }
    switch properties.generalCategory {
    case .decimalNumber, .connectorPunctuation, .nonspacingMark, .enclosingMark, .spacingMark:
      return true
    default: return properties.isAlphabetic || properties.isJoinControl
    }
  }

  /// White space as Unicode has it, which no version changed since 6.3.
  @inline(__always)
  var isBlank: Bool {
    value < 0x80 ? value == 0x20 || (0x09...0x0D).contains(value) : properties.isWhitespace
  }

  /// The reference's punctuation: that of ASCII, symbols included, and the categories P.
  var isReferencePunctuation: Bool {
    if value < 0x80 {
      return (0x21...0x2F).contains(value) || (0x3A...0x40).contains(value)
        || (0x5B...0x60).contains(value) || (0x7B...0x7E).contains(value)
    }
    // Two characters changed their category later.
    if value == 0x166D || value == 0x111C9 { return true }
    switch properties.generalCategory {
    case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation,
      .initialPunctuation, .finalPunctuation, .otherPunctuation:
      return isKnown(to: ScalarClass.Version.categories)
    default: return false
    }
  }

  /// The marks that `StripAccents` drops.
  var isReferenceMark: Bool {
    if value < 0x300 { return false }
    if value == 0x1CF2 || value == 0x1CF3 { return true }
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark:
      return isKnown(to: ScalarClass.Version.composition) && value != 0x111C9
    default: return false
    }
  }

  /// The marks that BERT's normalizer drops.
  var isReferenceNonspacingMark: Bool {
    if value < 0x300 { return false }
    // Some characters changed their category later.
    switch value {
    case 0x1734, 0x1171E: return true
    case 0x1885, 0x1886, 0xA9BD, 0x111C9: return false
    default:
      return properties.generalCategory == .nonspacingMark
        && isKnown(to: ScalarClass.Version.categories)
    }
  }

  /// What BERT's normalizer drops: controls, formats, private use. Blanks are not among them.
  var isReferenceControl: Bool {
    if value < 0x80 { return value < 0x20 || value == 0x7F }
    switch properties.generalCategory {
    case .control, .privateUse: return true
    case .format: return isKnown(to: ScalarClass.Version.categories)
    default: return false
    }
  }
}
