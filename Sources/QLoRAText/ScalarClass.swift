// What the splitting patterns ask of a character: letter, number, white space or none of them.

/// The classes `\p{L}`, `\p{N}`, `\s` and the rest.
enum ScalarClass: UInt8, Sendable {
  case letter, number, space, other

  /// The Unicode version of the reference tokenizers' pattern engine. Characters that came later
  /// are unassigned to it, so to us: ids must not depend on the age of Swift's own tables.
  private static let referenceVersion = 16

  /// Scalars below this have their class in a table; it spans Latin to Arabic.
  private static let tableEnd: UInt32 = 0x800

  private static let table: [ScalarClass] = (0..<tableEnd).map { value in
    Unicode.Scalar(value).map(compute) ?? .other
  }

  @inline(__always)
  static func of(_ scalar: Unicode.Scalar) -> ScalarClass {
    scalar.value < tableEnd ? table[Int(scalar.value)] : compute(scalar)
  }

  /// What the digit splitter takes for a digit; the reference asks Rust's tables, one version
  /// newer than its pattern engine's.
  static func isSplitDigit(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.value < tableEnd { return of(scalar) == .number }
    switch scalar.properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber:
      return scalar.properties.age.map { $0.major <= referenceVersion + 1 } ?? false
    default: return false
    }
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
    return isKnownToReference(scalar) ? found : .other
  }

  /// Whether the reference's pattern engine knows the character as assigned.
  static func isKnownToReference(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.age.map { $0.major <= referenceVersion } ?? false
  }
}

/// One character of valid UTF-8 bytes.
struct DecodedScalar {
  let scalar: Unicode.Scalar
  /// How many bytes it takes.
  let count: Int

  /// Reads the character that begins at `index`; the bytes come from a `String`, so are valid.
  @inline(__always)
  init(_ bytes: [UInt8], at index: Int) {
    let first = UInt32(bytes[index])
    if first < 0x80 {
      self.init(first, 1)
    } else if first < 0xE0 {
      self.init((first & 0x1F) << 6 | Self.tail(bytes, index + 1), 2)
    } else if first < 0xF0 {
      let middle = Self.tail(bytes, index + 1) << 6
      self.init((first & 0x0F) << 12 | middle | Self.tail(bytes, index + 2), 3)
    } else {
      let middle = Self.tail(bytes, index + 1) << 12 | Self.tail(bytes, index + 2) << 6
      self.init((first & 0x07) << 18 | middle | Self.tail(bytes, index + 3), 4)
    }
  }

  /// The character that ends just before `index`.
  init(_ bytes: [UInt8], before index: Int) {
    var start = index - 1
    while start > 0, bytes[start] & 0xC0 == 0x80 { start -= 1 }
    self.init(bytes, at: start)
  }

  private init(_ value: UInt32, _ count: Int) {
    scalar = Unicode.Scalar(value) ?? "\u{FFFD}"
    self.count = count
  }

  @inline(__always)
  private static func tail(_ bytes: [UInt8], _ index: Int) -> UInt32 {
    UInt32(bytes[index] & 0x3F)
  }
}
