// Expressions that are one run of characters of a kind, such as `\s?\p{L}+`, looked for without an
// engine. Splitters of several steps consist of them.

/// `L?C{m,n}`, where L is a blank and C a class of characters, or `\s+$`.
struct RunPattern: Sendable {
  /// What may stand before the run once.
  enum Lead: Sendable { case nothing, space, blank }

  /// As an expression.
  let spelling: String
  let lead: Lead
  let characters: ScalarSet
  /// The shortest and the longest run.
  let counts: ClosedRange<Int>
  /// The run goes on to the end of a line.
  let endsLine: Bool

  /// Calls `body` with each match in a range, from left to right.
  func forEachMatch(in bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void) {
    var index = range.lowerBound
    while index < range.upperBound {
      let first = DecodedScalar(bytes, at: index)
      let next = index + first.count
      var end: Int?
      if mayLead(first.scalar) { end = endOfRun(bytes, next, range.upperBound) }
      if end == nil, characters.contains(first.scalar) {
        end = endOfRun(bytes, index, range.upperBound)
      }
      if let end { body(index..<end) }
      index = end ?? next
    }
  }

  @inline(__always)
  private func mayLead(_ scalar: Unicode.Scalar) -> Bool {
    switch lead {
    case .nothing: false
    case .space: scalar == " "
    case .blank: scalar.isBlank
    }
  }

  /// nil where the run at a place is too short.
  @inline(__always)
  private func endOfRun(_ bytes: [UInt8], _ start: Int, _ limit: Int) -> Int? {
    var index = start
    var count = 0
    while index < limit, count < counts.upperBound {
      let next = DecodedScalar(bytes, at: index)
      guard characters.contains(next.scalar) else { break }
      index += next.count
      count += 1
    }
    if endsLine, index < limit {
      // A line ends before its break, which is a blank as well.
      while index > start, bytes[index] != 0x0A { index -= 1 }
      return index > start ? index : nil
    }
    return count >= counts.lowerBound ? index : nil
  }
}

extension RunPattern {
  /// nil for an expression of another form, or one that the engine might read otherwise.
  init?(_ expression: String) {
    var reader = Reader(text: Array(expression.unicodeScalars))
    let lead = reader.lead()
    guard let atom = reader.atom() else { return nil }
    var count = 1
    while reader.repeats(atom) { count += 1 }
    var counts = count...count
    if count == 1, let found = reader.quantifier() { counts = found }
    let endsLine = lead == .nothing && counts == 1...Int.max && reader.takes("$")
    guard reader.isAtEnd, !endsLine || expression == #"\s+$"# else { return nil }
    self.init(
      spelling: expression, lead: lead, characters: atom.set, counts: counts, endsLine: endsLine)
  }

  /// Reads an expression from left to right.
  private struct Reader {
    let text: [Unicode.Scalar]
    var index = 0

    var isAtEnd: Bool { index == text.count }

    mutating func takes(_ part: String) -> Bool {
      let part = Array(part.unicodeScalars)
      guard text[index...].starts(with: part) else { return false }
      index += part.count
      return true
    }

    mutating func lead() -> Lead {
      takes(#"\s?"#) ? .blank : takes(" ?") ? .space : .nothing
    }

    mutating func quantifier() -> ClosedRange<Int>? {
      takes("{1,3}") ? 1...3 : takes("+") ? 1...Int.max : nil
    }

    /// Passes an atom that is spelled as one before.
    mutating func repeats(_ atom: (set: ScalarSet, spelling: ArraySlice<Unicode.Scalar>)) -> Bool {
      guard text[index...].starts(with: atom.spelling) else { return false }
      index += atom.spelling.count
      return true
    }

    mutating func category() -> ScalarSet.Category? {
      if takes(#"\s"#) { return .blanks }
      let start = index
      if takes(#"\p{"#), index + 1 < text.count, text[index + 1] == "}",
        let category = ScalarSet.Category(rawValue: Character(text[index])), category != .blanks
      {
        index += 2
        return category
      }
      index = start
      return nil
    }

    /// A category or a bracket.
    mutating func atom() -> (set: ScalarSet, spelling: ArraySlice<Unicode.Scalar>)? {
      let start = index
      if let category = category() { return (ScalarSet([category], []), text[start..<index]) }
      guard takes("[") else { return nil }
      let isNegated = takes("^")
      var categories: [ScalarSet.Category] = []
      var ranges: [ClosedRange<UInt32>] = []
      while !takes("]") {
        if let category = category() {
          categories.append(category)
        } else {
          guard let low = literal() else { return nil }
          var high = low
          if takes("-") {
            guard let end = literal(), end >= low else { return nil }
            high = end
          }
          ranges.append(low...high)
        }
      }
      guard !categories.isEmpty || !ranges.isEmpty else { return nil }
      return (ScalarSet(categories, ranges, isNegated: isNegated), text[start..<index])
    }

    /// One character inside of a bracket, spelled so that it can mean nothing else.
    private mutating func literal() -> UInt32? {
      guard index < text.count else { return nil }
      let next = text[index]
      index += 1
      if next != "\\" { return "[]&-^".unicodeScalars.contains(next) ? nil : next.value }
      if takes("x{") {
        guard let end = text[index...].firstIndex(of: "}") else { return nil }
        let digits = String(String.UnicodeScalarView(text[index..<end]))
        index = end + 1
        return UInt32(digits, radix: 16).flatMap { Unicode.Scalar($0) }?.value
      }
      guard index < text.count else { return nil }
      let escaped = text[index]
      index += 1
      switch escaped {
      case "r": return 0x0D
      case "n": return 0x0A
      case "t": return 0x09
      default:
        let isMark = escaped.value < 0x80 && escaped.isReferencePunctuation
        return isMark ? escaped.value : nil
      }
    }
  }
}
