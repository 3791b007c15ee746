// A text cut into words, and the ways of cutting it further.

struct Words {
  private(set) var text: AlignedText
  /// In order and apart, none of them empty.
  private(set) var ranges: [Range<Int>]

  init(_ text: AlignedText, _ range: Range<Int>) {
    self.text = text
    ranges = range.isEmpty ? [] : [range]
  }

  /// Replaces every word by what `cut` appends for it.
  mutating func cut(_ cut: (Range<Int>, inout [Range<Int>]) -> Void) {
    var new: [Range<Int>] = []
    // Most splitters make words of about five bytes.
    new.reserveCapacity(max(ranges.count, text.count / 5))
    for range in ranges { cut(range, &new) }
    ranges = new
  }

  /// Cuts at what `find` hands over: matches of a word, in order and apart.
  mutating func split(
    _ behavior: SplitBehavior, isInverted: Bool = false,
    _ find: (Range<Int>, (Range<Int>) -> Void) -> Void
  ) {
    if behavior == .isolated { return keep(find, matches: true, others: true) }
    if behavior == .removed { return keep(find, matches: isInverted, others: !isInverted) }
    var pieces: [SplitBehavior.Piece] = []
    cut { word, words in
      pieces.removeAll(keepingCapacity: true)
      var end = word.lowerBound
      find(word) { match in
        if end < match.lowerBound { pieces.append((end..<match.lowerBound, isInverted)) }
        pieces.append((match, !isInverted))
        end = match.upperBound
      }
      if end < word.upperBound { pieces.append((end..<word.upperBound, isInverted)) }
      let first = words.count
      behavior.join(pieces, into: &words)
      // Expressions may match nothing at a place, which makes no word.
      if words[first...].contains(where: { $0.isEmpty }) {
        let kept = words[first...].filter { !$0.isEmpty }
        words.replaceSubrange(first..., with: kept)
      }
    }
  }

  /// Makes words of matches, of what lies between them, or of both.
  private mutating func keep(
    _ find: (Range<Int>, (Range<Int>) -> Void) -> Void, matches: Bool, others: Bool
  ) {
    cut { word, words in
      var end = word.lowerBound
      find(word) { match in
        if others, end < match.lowerBound { words.append(end..<match.lowerBound) }
        if matches, !match.isEmpty { words.append(match) }
        end = match.upperBound
      }
      if others, end < word.upperBound { words.append(end..<word.upperBound) }
    }
  }

  /// Cuts at the characters for which `isMatch` holds.
  mutating func split(
    _ behavior: SplitBehavior, where isMatch: (Unicode.Scalar) -> Bool
  ) {
    let bytes = text.bytes
    split(behavior) { word, found in
      DecodedScalar.forEach(bytes, word) { scalar, range in
        if isMatch(scalar) { found(range) }
      }
    }
  }

  /// Changes the text of each word; `change` puts the new one into the builder.
  mutating func rebuild(_ change: (Range<Int>, inout AlignedText.Builder) -> Void) {
    var new: [Range<Int>] = []
    new.reserveCapacity(ranges.count)
    text = text.rebuilt { builder in
      for range in ranges {
        let start = builder.count
        change(range, &builder)
        if builder.count > start { new.append(start..<builder.count) }
      }
    }
    ranges = new
  }
}
