// What becomes of what a splitter finds.

enum SplitBehavior: String, Sendable, Equatable, CaseIterable {
  case removed = "Removed"
  case isolated = "Isolated"
  case contiguous = "Contiguous"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"

  /// A stretch of text, and whether it is what was looked for.
  typealias Piece = (range: Range<Int>, isMatch: Bool)

  /// Appends the words that pieces make, which cover a text in order.
  func join(_ pieces: [Piece], into words: inout [Range<Int>]) {
    switch self {
    case .removed: for piece in pieces where !piece.isMatch { words.append(piece.range) }
    case .isolated: for piece in pieces { words.append(piece.range) }
    case .contiguous:
      join(pieces, into: &words) { $0.isMatch == $1 }
    case .mergedWithPrevious:
      join(pieces, into: &words) { $0.isMatch && !$1 }
    case .mergedWithNext:
      let first = words.count
      var wasMatch = false
      for piece in pieces.reversed() {
        if piece.isMatch, !wasMatch, words.count > first {
          words[words.count - 1] = piece.range.lowerBound..<words[words.count - 1].upperBound
        } else {
          words.append(piece.range)
        }
        wasMatch = piece.isMatch
      }
      words[first...].reverse()
    }
  }

  /// Joins each piece to the word before where `goesOn` says so of it and of whether the one before
  /// was a match; no match stands before the first.
  private func join(
    _ pieces: [Piece], into words: inout [Range<Int>], goesOn: (Piece, Bool) -> Bool
  ) {
    let first = words.count
    var wasMatch = false
    for piece in pieces {
      if goesOn(piece, wasMatch), words.count > first {
        words[words.count - 1] = words[words.count - 1].lowerBound..<piece.range.upperBound
      } else {
        words.append(piece.range)
      }
      wasMatch = piece.isMatch
    }
  }
}
