// The patterns that tell capital letters from small ones, GPT-4o's and Mistral's, and CLIP's.

extension SplitPattern {
  /// `[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*`
  /// `|\s*[\r\n]+|\s+(?!\S)|\s+` with U for letters that are not small, L for those that are not
  /// capital, both with marks, and C for contractions.
  static func endOfCasedWord(
    _ bytes: [UInt8], _ start: Int, _ end: Int, digits: Int, contracts: Bool = true
  ) -> Int {
    let first = DecodedScalar(bytes, at: start)
    let kind = ScalarClass.of(first.scalar)
    let second = start + first.count
    if kind == .number { return endOfNumber(bytes, second, end, remaining: digits - 1) }
    let mayLead = kind != .letter && first.scalar != "\n" && first.scalar != "\r"
    let letters =
      (mayLead ? smallEnd(bytes, second, end) : nil) ?? smallEnd(bytes, start, end)
      ?? (mayLead ? capitalEnd(bytes, second, end) : nil) ?? capitalEnd(bytes, start, end)
    if let letters {
      if !contracts { return letters }
      guard letters < end else { return letters }
      return endOfContraction(bytes, letters, end, ignoringCase: true) ?? letters
    }
    if kind == .other { return endOfSignsAndSlashes(bytes, second, end) }
    if first.scalar == " ", second < end {
      let next = DecodedScalar(bytes, at: second)
      if ScalarClass.of(next.scalar) == .other {
        return endOfSignsAndSlashes(bytes, second + next.count, end)
      }
    }
    return endOfLines(bytes, start, end) ?? endOfBlanks(bytes, start, end)
  }

  /// `U*L+`: of the run of U at a place, as far as an L follows.
  private static func smallEnd(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
    var index = start
    var last: Int?
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      let letter = LetterCase.of(next.scalar)
      guard letter.isUpper else {
        guard letter == .small else { break }
        return endOfSmall(bytes, index, end)
      }
      index += next.count
      if letter.isLower { last = index }
    }
    return last
  }

  private static func endOfSmall(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var index = start
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      guard LetterCase.of(next.scalar).isLower else { break }
      index += next.count
    }
    return index
  }

  /// `U+`, where no L follows.
  private static func capitalEnd(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
    var index = start
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      guard LetterCase.of(next.scalar).isUpper else { break }
      index += next.count
    }
    return index > start ? index : nil
  }

  /// `[^\s\p{L}\p{N}]*[\r\n/]*`
  private static func endOfSignsAndSlashes(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var index = endOfRun(of: .other, bytes, from: start, to: end)
    while index < end, [0x0A, 0x0D, UInt8(ascii: "/")].contains(bytes[index]) { index += 1 }
    return index
  }

  /// `<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+`;
  /// `start` where nothing matches.
  static func endOfCLIPWord(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    for token in ["<|startoftext|>", "<|endoftext|>"] where bytes[start] == UInt8(ascii: "<") {
      let count = token.utf8.count
      if start + count <= end, bytes[start..<start + count].elementsEqual(token.utf8) {
        return start + count
      }
    }
    if let contraction = endOfContraction(bytes, start, end, ignoringCase: false) {
      return contraction
    }
    let first = DecodedScalar(bytes, at: start)
    let second = start + first.count
    switch ScalarClass.of(first.scalar) {
    case .letter: return endOfRun(of: .letter, bytes, from: second, to: end)
    case .number: return second
    case .space: return start
    case .other: return endOfRun(of: .other, bytes, from: second, to: end)
    }
  }
}

/// What a pattern that tells capitals from small letters asks of a character.
enum LetterCase: UInt8, Sendable {
  /// No letter and no mark.
  case none
  case capital
  case small
  /// Letters without case, and marks: the patterns take them for either.
  case both

  var isUpper: Bool { self == .capital || self == .both }
  var isLower: Bool { self == .small || self == .both }

  /// As `ScalarClass` has one.
  private static let table: [LetterCase] = (UInt32(0)..<0x10000).map { value in
    Unicode.Scalar(value).map(compute) ?? .none
  }

  @inline(__always)
  static func of(_ scalar: Unicode.Scalar) -> LetterCase {
    scalar.value < 0x10000 ? table[Int(scalar.value)] : compute(scalar)
  }

  private static func compute(_ scalar: Unicode.Scalar) -> LetterCase {
    let found: LetterCase
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .titlecaseLetter: found = .capital
    case .lowercaseLetter: found = .small
    case .modifierLetter, .otherLetter, .nonspacingMark, .spacingMark, .enclosingMark: found = .both
    default: return .none
    }
    return scalar.isKnown(to: ScalarClass.Version.patterns) ? found : .none
  }
}
