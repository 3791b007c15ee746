// How likely the model itself held a token and its rivals, before temperature and filters.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Natural logarithms of probabilities.
package struct TokenScores: Sendable, Equatable {
  package struct Entry: Sendable, Equatable {
    package var token: Int32
    package var logProbability: Double
  }

  package let chosen: Entry
  /// The likeliest tokens, best first.
  package let best: [Entry]

  /// - Parameters:
  ///   - count: how many of the likeliest tokens to name.
  package init(_ logits: [Float], chosen: Int32, count: Int) {
    let top = Double(logits.max() ?? 0)
    let total = logits.reduce(0.0) { $0 + exp(Double($1) - top) }
    func entry(_ token: Int) -> Entry {
      Entry(token: Int32(token), logProbability: Double(logits[token]) - top - log(total))
    }
    self.chosen = entry(Int(chosen))
    var best: [Int] = []
    for token in logits.indices where count > 0 {
      if best.count == count, let last = best.last, logits[last] >= logits[token] { continue }
      let place = best.firstIndex { logits[$0] < logits[token] } ?? best.count
      best.insert(token, at: place)
      if best.count > count { best.removeLast() }
    }
    self.best = best.map(entry)
  }
}
