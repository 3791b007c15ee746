// How often an epoch sees each row, where sources have weights.
import QLoRARandom

/// A source of n rows and weight w gives each of them ⌊w⌋ times to an epoch, and x = (w − ⌊w⌋)·n of
/// them once more: epoch e those from ⌈e·x⌉ up to ⌈(e + 1)·x⌉ in an order of f(seed, source), which
/// goes round. So in the long run all rows are seen equally often, whatever x is, and the first
/// epoch has a row.
struct Mixture: Sendable {
  private struct Part: Sendable {
    /// Places of the source's rows.
    let rows: [Int]
    let copies: Int
    /// Rows that one copy more is made of, on the average of epochs, and the order in which they
    /// take turns.
    let extra: Double
    let turns: [Int]

    /// Before an epoch. A share such as 0.1 is a little more or less than it says, which must not
    /// make a row of a whole number.
    func turnsTaken(_ epoch: Int) -> Int {
      let tolerance = 1e-6
      return Int((Double(epoch) * extra - tolerance).rounded(.up))
    }
  }

  private let rowCount: Int
  /// Empty where every row counts once.
  private let parts: [Part]

  /// Keeps the streams of sources apart from those of epochs, which are small numbers.
  private static let firstStream: UInt64 = 1 << 62

  /// - Parameter weights: by source; those that are not listed count once.
  init(_ rows: EncodedRows, weights: [Double], seed: UInt64) {
    rowCount = rows.count
    guard weights.contains(where: { $0 != 1 }) else {
      parts = []
      return
    }
    var bySource: [Int: [Int]] = [:]
    for index in 0..<rows.count { bySource[rows.source(index), default: []].append(index) }
    parts = bySource.sorted { $0.key < $1.key }.map { source, rows in
      let weight = weights.indices.contains(source) ? weights[source] : 1
      let copies = Int(weight.rounded(.down))
      let extra = (weight - Double(copies)) * Double(rows.count)
      var generator = SplitMix64(seed: seed, stream: Self.firstStream + UInt64(source))
      return Part(
        rows: rows, copies: copies, extra: extra,
        turns: extra > 0 ? generator.permutation(rows.count) : [])
    }
  }

  /// Whether epochs have different rows.
  var changes: Bool { parts.contains { $0.extra > 0 } }

  /// Places of an epoch's rows, each as often as the epoch sees it, in the order of the rows.
  func rows(epoch: Int) -> [Int] {
    if parts.isEmpty { return Array(0..<rowCount) }
    var counts = [Int](repeating: 0, count: rowCount)
    for part in parts {
      for row in part.rows { counts[row] = part.copies }
      for turn in part.turnsTaken(epoch)..<part.turnsTaken(epoch + 1) {
        counts[part.rows[part.turns[turn % part.turns.count]]] += 1
      }
    }
    return counts.indices.flatMap { repeatElement($0, count: counts[$0]) }
  }
}
