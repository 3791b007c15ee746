// How well classes are told apart: sums over rows whose classes are known.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package struct ClassReport: Sendable {
  /// One class, as the measures of information retrieval see it.
  package struct Line: Sendable, Equatable {
    package let label: String
    /// Rows of this class.
    package var rows = 0
    /// Rows that were taken for it.
    package var found = 0
    package var correct = 0

    package var precision: Double { found == 0 ? 0 : Double(correct) / Double(found) }
    package var recall: Double { rows == 0 ? 0 : Double(correct) / Double(rows) }
    /// Source: van Rijsbergen 1979, "Information Retrieval", chapter 7.
    package var f1: Double {
      rows + found == 0 ? 0 : 2 * Double(correct) / Double(rows + found)
    }
  }

  package private(set) var lines: [Line]
  package private(set) var rows = 0
  package private(set) var lossSum = 0.0

  package init(labels: [String]) {
    lines = labels.map { Line(label: $0) }
  }

  package var loss: Double { lossSum / Double(max(1, rows)) }
  package var accuracy: Double {
    Double(lines.reduce(0) { $0 + $1.correct }) / Double(max(1, rows))
  }

  /// The mean F1 of the classes that are in the rows or in the answers.
  package var macroF1: Double {
    let seen = lines.filter { $0.rows + $0.found > 0 }
    return seen.reduce(0) { $0 + $1.f1 } / Double(max(1, seen.count))
  }

  /// - Parameter probabilities: of every class, for a row of class `category`.
  package mutating func add(_ probabilities: [Double], category: Int) {
    rows += 1
    // A probability that no double holds costs as much as the smallest that one does.
    lossSum -= log(max(probabilities[category], .leastNonzeroMagnitude))
    let answer = ClassReport.best(probabilities)
    lines[category].rows += 1
    lines[answer].found += 1
    if answer == category { lines[category].correct += 1 }
  }

  /// The most likely class, the first of equals.
  package static func best(_ probabilities: [Double]) -> Int {
    probabilities.indices.reduce(0) { probabilities[$1] > probabilities[$0] ? $1 : $0 }
  }
}
