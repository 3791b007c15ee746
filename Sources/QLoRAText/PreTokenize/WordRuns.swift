// Words as runs of characters of one class, in one pass over a text.

/// `\w+|[^\w\s]+`, the rest dropped.
enum WordRuns {
  private enum Kind { case word, blank, other }

  private static func kind(_ scalar: Unicode.Scalar) -> Kind {
    if scalar.value < 0x80 {
      switch UInt8(scalar.value) {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x5F: return .word
      case 0x09...0x0D, 0x20: return .blank
      default: return .other
      }
    }
    return scalar.isPatternWord ? .word : scalar.isBlank ? .blank : .other
  }

  static func append(_ bytes: [UInt8], _ word: Range<Int>, into words: inout [Range<Int>]) {
    var (start, last) = (word.lowerBound, Kind.blank)
    DecodedScalar.forEach(bytes, word) { scalar, range in
      let kind = kind(scalar)
      guard kind != last else { return }
      if last != .blank { words.append(start..<range.lowerBound) }
      (start, last) = (range.lowerBound, kind)
    }
    if last != .blank { words.append(start..<word.upperBound) }
  }
}

/// Words between blanks.
enum BlankRuns {
  private enum Kind: UInt8 { case word, blank, punctuation }

  private static let ascii: [Kind] = (0..<128).map { value in
    let scalar = Unicode.Scalar(UInt8(value))
    return scalar.isBlank ? .blank : scalar.isReferencePunctuation ? .punctuation : .word
  }

  /// - Parameter alone: punctuation makes words of one character.
  static func append(
    _ bytes: [UInt8], _ word: Range<Int>, alone: Bool, into words: inout [Range<Int>]
  ) {
    var (start, index) = (word.lowerBound, word.lowerBound)
    while index < word.upperBound {
      let kind: Kind
      var end = index + 1
      if bytes[index] < 0x80 {
        kind = ascii[Int(bytes[index])]
      } else {
        let next = DecodedScalar(bytes, at: index)
        end = index + next.count
        kind = next.scalar.isBlank ? .blank
          : alone && next.scalar.isReferencePunctuation ? .punctuation : .word
      }
      if kind == .blank || (alone && kind == .punctuation) {
        if start < index { words.append(start..<index) }
        if kind == .punctuation { words.append(index..<end) }
        start = end
      }
      index = end
    }
    if start < word.upperBound { words.append(start..<word.upperBound) }
  }
}
