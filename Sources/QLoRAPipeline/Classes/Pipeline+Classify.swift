// Telling classes apart as functions: of texts, and of a file's rows whose classes are known.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem

/// What a text was taken for.
package struct Classification: Sendable {
  /// The row's number in its file, or of the text, from 1.
  package let number: Int
  package let label: String
  /// By label, in the order of the classes.
  package let probabilities: [(label: String, probability: Double)]
}

extension Pipeline {
  /// Rows that are encoded before they are looked at.
  private static let rowsAtOnce = 256

  /// The classes of texts, each of which may come with a second one.
  package static func classify(
    _ classifier: LoadedClassifier, _ texts: [(text: String, pair: String?)], from first: Int = 1
  ) throws -> [Classification] {
    let rows = try texts.map { try classifier.row($0.text, $0.pair) }
    return zip(first..., try classifier.probabilities(rows)).map { number, probabilities in
      let named = zip(classifier.labels.names, probabilities).map {
        (label: $0, probability: $1)
      }
      return Classification(
        number: number, label: named[ClassReport.best(probabilities)].label, probabilities: named)
    }
  }

  /// The classes of a file's rows, whose labels are not looked at.
  ///
  /// - Throws: diagnostics naming file, row and reason.
  package static func classify(
    _ classifier: LoadedClassifier, file: String, emit: (Classification) -> Void
  ) throws {
    var texts: [(text: String, pair: String?)] = []
    var first = 1
    func flush() throws {
      try classify(classifier, texts, from: first).forEach(emit)
      first += texts.count
      texts = []
    }
    try RowReader(path: file).forEachRow { row in
      texts.append((try row.string("text"), try row.optionalString("text_pair")))
      if texts.count == rowsAtOnce { try flush() }
    }
    try flush()
  }

  /// How well a model tells the classes of a file's rows apart.
  ///
  /// - Parameter limit: rows from the front; nil takes all.
  package static func evaluateClasses(
    _ base: BaseOptions, file: String, limit: Int?, progress: (Int) -> Void
  ) throws -> ClassReport {
    let classifier = try LoadedClassifier.load(base)
    var report = ClassReport(labels: classifier.labels.names)
    var encoding = EncodingReport()
    var rows: [EncodedRow] = []
    func flush() throws {
      for (row, probabilities) in zip(rows, try classifier.probabilities(rows)) {
        report.add(probabilities, category: Int(row.category ?? 0))
      }
      rows = []
      progress(report.rows)
    }
    try RowReader(path: file).forEachRow(limit: limit) { row in
      if let encoded = try classifier.row(row, report: &encoding) { rows.append(encoded) }
      if rows.count == rowsAtOnce { try flush() }
    }
    try flush()
    guard report.rows > 0 else {
      throw Diagnostic(.nothingToEvaluate, "the file has no row", at: .file(file))
    }
    return report
  }
}
