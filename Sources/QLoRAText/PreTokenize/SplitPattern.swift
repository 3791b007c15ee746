// Cuts text into the words that merges never cross: the regular expressions of GPT-2, Llama 3 and
// Qwen 2 written out by hand, which is some times faster than an engine for them.

/// A known splitting pattern.
enum SplitPattern: Sendable, Equatable {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// As `qwen2`, but numbers in groups of up to three digits.
  case llama3
  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*`
  /// `|\s*[\r\n]+|\s+(?!\S)|\s+`
  case qwen2
  /// GPT-4o's and Llama 4's: words change at a capital letter, contractions belong to them.
  case gpt4o
  /// Mistral's since 2024: as GPT-4o's without contractions, digits one by one.
  case tekken
  /// Youtu's: as GPT-4o's, digits one by one.
  case youtu
  /// CLIP's: contractions, letters, single digits, other signs; blanks belong to no word.
  case clip
  /// `\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))`: numbers in groups of three from their end.
  case numberGroups

  /// How tokenizer.json files spell the patterns.
  static let spellings: [(text: String, pattern: SplitPattern)] = {
    let contractions = "'s|'t|'re|'ve|'m|'ll|'d"
    let blanks = #"\s+(?!\S)|\s+"#
    let modern = { (numbers: String) in
      #"(?i:\#(contractions))|[^\r\n\p{L}\p{N}]?\p{L}+|\#(numbers)"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"# + blanks
    }
    let cased = { (contractions: String, numbers: String) in
      let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
      let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
      return #"[^\r\n\p{L}\p{N}]?\#(upper)*\#(lower)+\#(contractions)|"#
        + #"[^\r\n\p{L}\p{N}]?\#(upper)+\#(lower)*\#(contractions)|\#(numbers)"#
        + #"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|"# + blanks
    }
    return [
      (#"\#(contractions)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|"# + blanks, .gpt2),
      (modern(#"\p{N}{1,3}"#), .llama3),
      (modern(#"\p{N}"#), .qwen2),
      (cased("(?i:\(contractions))?", #"\p{N}{1,3}"#), .gpt4o),
      (cased("", #"\p{N}"#), .tekken),
      (cased("(?i:\(contractions))?", #"\p{N}"#), .youtu),
      (#"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"#, .numberGroups),
      (
        #"<\|startoftext\|>|<\|endoftext\|>|\#(contractions)|[\p{L}]+|[\p{N}]"#
          + #"|[^\s\p{L}\p{N}]+"#, .clip
      ),
    ]
  }()
}

extension SplitPattern {
  /// As an expression; each pattern has one.
  var spelling: String { Self.spellings.first { $0.pattern == self }?.text ?? "" }

  /// Whether the alternatives match any character, so that words cover a text.
  var coversAll: Bool { self != .clip && self != .numberGroups }

  /// Calls `body` with the byte range of each word of a stretch, in order.
  func forEachWord(_ bytes: [UInt8], _ stretch: Range<Int>, _ body: (Range<Int>) -> Void) {
    var start = stretch.lowerBound
    while start < stretch.upperBound {
      let end: Int =
        switch self {
        case .gpt2: Self.endOfGPT2Word(bytes, start, stretch.upperBound)
        case .llama3: Self.endOfModernWord(bytes, start, stretch.upperBound, digits: 3)
        case .qwen2: Self.endOfModernWord(bytes, start, stretch.upperBound, digits: 1)
        case .gpt4o: Self.endOfCasedWord(bytes, start, stretch.upperBound, digits: 3)
        case .tekken:
          Self.endOfCasedWord(bytes, start, stretch.upperBound, digits: 1, contracts: false)
        case .youtu: Self.endOfCasedWord(bytes, start, stretch.upperBound, digits: 1)
        case .clip: Self.endOfCLIPWord(bytes, start, stretch.upperBound)
        case .numberGroups: Self.forEachGroup(bytes, start, stretch.upperBound, body)
        }
      if end > start, self != .numberGroups { body(start..<end) }
      // What matches nothing is passed over character by character.
      start = end > start ? end : start + DecodedScalar.length(bytes[start])
    }
  }

  private static func endOfGPT2Word(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    if let contraction = endOfContraction(bytes, start, end, ignoringCase: false) {
      return contraction
    }
    let first = DecodedScalar(bytes, at: start)
    let kind = ScalarClass.of(first.scalar)
    if kind != .space { return endOfRun(of: kind, bytes, from: start + first.count, to: end) }
    // One plain space belongs to the word after it.
    if bytes[start] == UInt8(ascii: " "), start + 1 < end {
      let next = DecodedScalar(bytes, at: start + 1)
      let nextKind = ScalarClass.of(next.scalar)
      if nextKind != .space {
        return endOfRun(of: nextKind, bytes, from: start + 1 + next.count, to: end)
      }
    }
    return endOfBlanks(bytes, start, end)
  }

  private static func endOfModernWord(
    _ bytes: [UInt8], _ start: Int, _ end: Int, digits: Int
  ) -> Int {
    if let contraction = endOfContraction(bytes, start, end, ignoringCase: true) {
      return contraction
    }
    let first = DecodedScalar(bytes, at: start)
    let kind = ScalarClass.of(first.scalar)
    let second = start + first.count
    if kind == .letter { return endOfRun(of: .letter, bytes, from: second, to: end) }
    if kind == .number { return endOfNumber(bytes, second, end, remaining: digits - 1) }
    let isNewline = first.scalar == "\n" || first.scalar == "\r"
    let next = second < end ? DecodedScalar(bytes, at: second) : nil
    let nextKind = next.map { ScalarClass.of($0.scalar) }
    // Any one character but a line break may lead a word of letters.
    if !isNewline, let next, nextKind == .letter {
      return endOfRun(of: .letter, bytes, from: second + next.count, to: end)
    }
    if kind == .other { return endOfSymbols(bytes, second, end) }
    if first.scalar == " ", let next, nextKind == .other {
      return endOfSymbols(bytes, second + next.count, end)
    }
    return endOfLines(bytes, start, end) ?? endOfBlanks(bytes, start, end)
  }

  static func endOfNumber(
    _ bytes: [UInt8], _ start: Int, _ end: Int, remaining: Int
  ) -> Int {
    var index = start
    for _ in 0..<remaining where index < end {
      let next = DecodedScalar(bytes, at: index)
      guard ScalarClass.of(next.scalar) == .number else { break }
      index += next.count
    }
    return index
  }

  /// Calls `body` with the groups of the number at a place; gives where it ends.
  private static func forEachGroup(
    _ bytes: [UInt8], _ start: Int, _ end: Int, _ body: (Range<Int>) -> Void
  ) -> Int {
    let last = endOfRun(of: .number, bytes, from: start, to: end)
    var left = 0
    DecodedScalar.forEach(bytes, start..<last) { _, _ in left += 1 }
    var first = start
    while first < last {
      // The first group has what is more than threes.
      let count = left % 3 == 0 ? 3 : left % 3
      let next = endOfNumber(bytes, first, last, remaining: count)
      body(first..<next)
      (first, left) = (next, left - count)
    }
    return last
  }

  /// `[^\s\p{L}\p{N}]*[\r\n]*`
  static func endOfSymbols(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var index = endOfRun(of: .other, bytes, from: start, to: end)
    while index < end, bytes[index] == 0x0A || bytes[index] == 0x0D { index += 1 }
    return index
  }

  /// `\s*[\r\n]+`: white space up to its last line break; nil where it holds none.
  static func endOfLines(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int? {
    var last: Int?
    var index = start
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      guard ScalarClass.of(next.scalar) == .space else { break }
      index += next.count
      if next.scalar == "\n" || next.scalar == "\r" { last = index }
    }
    return last
  }

  /// `\s+(?!\S)|\s+`: white space, less its last character where a word follows it.
  static func endOfBlanks(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Int {
    var index = start
    var beforeLast = start
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      guard ScalarClass.of(next.scalar) == .space else { break }
      beforeLast = index
      index += next.count
    }
    return index < end && beforeLast > start ? beforeLast : index
  }

  static func endOfRun(
    of kind: ScalarClass, _ bytes: [UInt8], from start: Int, to end: Int
  ) -> Int {
    var index = start
    while index < end {
      let next = DecodedScalar(bytes, at: index)
      guard ScalarClass.of(next.scalar) == kind else { break }
      index += next.count
    }
    return index
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d`
  static func endOfContraction(
    _ bytes: [UInt8], _ start: Int, _ end: Int, ignoringCase: Bool
  ) -> Int? {
    guard bytes[start] == UInt8(ascii: "'"), start + 1 < end else { return nil }
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    switch bytes[start + 1] | fold {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
      return start + 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return start + 2 < end && bytes[start + 2] | fold == UInt8(ascii: "e") ? start + 3 : nil
    case UInt8(ascii: "l"):
      return start + 2 < end && bytes[start + 2] | fold == UInt8(ascii: "l") ? start + 3 : nil
    // The long s (U+017F, C5 BF) is an s to a pattern that ignores case.
    case 0xE5 where ignoringCase && bytes[start + 1] == 0xC5:
      return start + 2 < end && bytes[start + 2] == 0xBF ? start + 3 : nil
    default: return nil
    }
  }
}
