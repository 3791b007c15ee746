// How alike two names are, for "did you mean …?".

package enum Nearness {
  /// Edits from one name to the other, where swapping two neighbours is one edit (Damerau and
  /// Levenshtein's distance with adjacent transpositions).
  static func distance(_ left: String, _ right: String) -> Int {
    let a = Array(left.utf8)
    let b = Array(right.utf8)
    var beforePrevious: [Int] = []
    var previous = Array(0...b.count)
    for i in 0..<a.count {
      var row = [i + 1]
      for j in 0..<b.count {
        var cost = min(previous[j + 1] + 1, row[j] + 1, previous[j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
          cost = min(cost, beforePrevious[j - 1] + 1)
        }
        row.append(cost)
      }
      (beforePrevious, previous) = (previous, row)
    }
    return previous[b.count]
  }

  /// The name without the case of ASCII, `_`, `-` and `.`, so that `learning_rate` equals
  /// `learningRate`.
  static func plain(_ name: String) -> String {
    let bytes = name.utf8.compactMap { byte -> UInt8? in
      switch byte {
      case UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): nil
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte | 0x20
      default: byte
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The most alike of `names`, or nil where none is alike enough to be meant.
  ///
  /// - Parameter unlikely: names that lose against others that are as many edits away.
  package static func nearest(
    to name: String, among names: [String], unlikely: Set<String> = []
  ) -> String? {
    // Half an edit: it decides only between names that are as near.
    let handicap = 5
    // A name from a hostile file could make the table large; no key is longer than this.
    let longest = 64
    guard name.utf8.count <= longest else { return nil }
    let word = plain(name)
    let scored = names.map { candidate in
      (
        name: candidate,
        score: score(word, plain(candidate)) + (unlikely.contains(candidate) ? handicap : 0)
      )
    }
    guard let best = scored.min(by: { $0.score < $1.score }) else { return nil }
    return best.score < 10 * allowance(word, plain(best.name)) + 10 ? best.name : nil
  }

  /// Edits that a name of this length may have: one in three letters, but always two.
  private static func allowance(_ word: String, _ candidate: String) -> Int {
    let letters = max(word.utf8.count, candidate.utf8.count)
    return letters < 4 ? 1 : max(2, letters / 3)
  }

  /// Ten times the distance, less a little for what typists seldom get wrong.
  private static func score(_ word: String, _ candidate: String) -> Int {
    var score = 10 * distance(word, candidate)
    if word.first == candidate.first { score -= 2 }
    if word.last == candidate.last { score -= 1 }
    let letters = Set(word.utf8)
    score += 2 * Set(candidate.utf8).subtracting(letters).count
    return max(0, score)
  }
}
