// Puts rows together into sequences. It sees lengths only.

/// First fit over a bounded window: each row goes into the oldest open sequence with room for it,
/// else into a new one; past `window` open sequences the oldest is closed.
///
/// Deterministic, one pass, nearly in order: sequences stand in the order of their first rows.
/// Sorting by length would pack a little tighter, but would put like with like in every step.
package enum Packer {
  /// With more open sequences the filling improves by less than the time is worth.
  package static let window = 64

  /// - Parameters:
  ///   - order: indices into `lengths`, each of which ends up in exactly one sequence.
  /// - Returns: the rows of each sequence, together at most `maxTokens` long.
  package static func pack(
    _ order: [Int], lengths: [Int], maxTokens: Int, window: Int = window
  ) -> [[Int]] {
    var sequences: [[Int]] = []
    var open: [(sequence: Int, room: Int)] = []
    for row in order {
      let length = lengths[row]
      if let place = open.firstIndex(where: { $0.room >= length }) {
        sequences[open[place].sequence].append(row)
        open[place].room -= length
        if open[place].room == 0 { open.remove(at: place) }
      } else {
        open.append((sequences.count, maxTokens - length))
        sequences.append([row])
        if open.count > window { open.removeFirst() }
      }
    }
    return sequences
  }
}
