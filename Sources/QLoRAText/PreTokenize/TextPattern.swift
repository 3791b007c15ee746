// What is looked for in a text, by splitters and replacing normalizers: a plain text, a pattern
// that is written out by hand here, a run of characters, or any regular expression.
import QLoRARegex

enum TextPattern: Sendable, Equatable {
  case literal([UInt8])
  case known(SplitPattern)
  case run(RunPattern)
  case expression(PatternSearch)

  static func == (left: Self, right: Self) -> Bool {
    switch (left, right) {
    case (.literal(let left), .literal(let right)): left == right
    case (.known(let left), .known(let right)): left == right
    case (.run(let left), .run(let right)): left.spelling == right.spelling
    case (.expression(let left), .expression(let right)): left.pattern == right.pattern
    default: false
    }
  }

  var isLiteral: Bool { if case .literal = self { true } else { false } }

  /// As an expression; nil for a plain text.
  var spelling: String? {
    switch self {
    case .literal: nil
    case .known(let pattern): pattern.spelling
    case .run(let pattern): pattern.spelling
    case .expression(let expression): expression.pattern
    }
  }

  /// The pattern of a regular expression: written by hand where it is well known.
  ///
  /// - Throws: `RegularExpressionError`.
  init(expression: String) throws(RegularExpressionError) {
    if let known = SplitPattern.spellings.first(where: { $0.text == expression }) {
      self = .known(known.pattern)
    } else if let run = RunPattern(expression) {
      self = .run(run)
    } else {
      self = .expression(try PatternSearch(expression))
    }
  }

  /// Calls `body` with each match in a range, from left to right.
  func forEachMatch(in bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void) {
    switch self {
    case .literal(let text): Self.find(text, bytes, range, body)
    case .known(let pattern): pattern.forEachWord(bytes, range, body)
    case .run(let pattern): pattern.forEachMatch(in: bytes, range, body)
    // Where a match takes too long, the rest of the text has none.
    case .expression(let expression): _ = expression.forEachMatch(in: bytes, range, body)
    }
  }

  private static func find(
    _ text: [UInt8], _ bytes: [UInt8], _ range: Range<Int>, _ body: (Range<Int>) -> Void
  ) {
    guard let first = text.first else { return }
    var index = range.lowerBound
    while index + text.count <= range.upperBound {
      if bytes[index] == first, bytes[index..<index + text.count].elementsEqual(text) {
        body(index..<index + text.count)
        index += text.count
      } else {
        index += 1
      }
    }
  }
}
