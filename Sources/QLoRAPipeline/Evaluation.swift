// How well a model predicts the rows of a file, and how often its greedy answer is the row's own.

import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

/// What to measure on which rows.
package struct EvaluationRequest: Sendable {
  package var source: DataSource
  package var measuresExactMatch: Bool
  /// A key of the rows whose values split the report, such as `phrasing`.
  package var groupKey: String?
  /// At most so many rows, from the front; nil = all.
  package var rowLimit: Int?
  /// How many answers to return in full.
  package var exampleCount: Int
  /// A new file that takes a line of JSON for each row: what each of its tokens cost.
  package var tokensPath: String?

  package init(
    source: DataSource, measuresExactMatch: Bool = false,
    groupKey: String? = nil, rowLimit: Int? = nil, exampleCount: Int = 0,
    tokensPath: String? = nil
  ) {
    self.source = source
    self.measuresExactMatch = measuresExactMatch
    self.groupKey = groupKey
    self.rowLimit = rowLimit
    self.exampleCount = exampleCount
    self.tokensPath = tokensPath
  }
}

/// Sums over some rows.
package struct EvaluationCounts: Sendable {
  package var rows = 0
  package var labelledTokens = 0
  package var lossSum = 0.0
  package var matches = 0

  package var meanNegativeLogLikelihood: Double { lossSum / Double(max(1, labelledTokens)) }
  package var exactMatch: Double { Double(matches) / Double(max(1, rows)) }
}

/// One row's prompt, expected answer and greedy answer.
package struct EvaluationExample: Sendable {
  package var prompt: String
  package var expected: String
  package var answer: String
}

package struct EvaluationReport: Sendable {
  package var total = EvaluationCounts()
  /// By value of the group key, in order of appearance.
  package var groups: [(name: String, counts: EvaluationCounts)] = []
  package var examples: [EvaluationExample] = []
}

package struct Evaluator {
  /// Longer than any row of a chat data set; longer rows are cut and said so.
  static let maxTokens = 8192
  /// Tokens that are scored in one forward pass.
  static let tokensPerPass = 2048
  /// Where a greedy answer that never ends is cut.
  static let answerLimit = 512

  let loaded: LoadedModel

  package init(_ loaded: LoadedModel) { self.loaded = loaded }

  /// - Throws: diagnostics naming file, row and reason.
  package func evaluate(
    _ request: EvaluationRequest, progress: (Int, Int) -> Void = { _, _ in }
  ) throws -> EvaluationReport {
    guard let path = request.tokensPath else {
      return try evaluate(request, progress: progress) { _, _ in }
    }
    var report = EvaluationReport()
    try AtomicFile.write(path, replacing: false) { sink in
      report = try evaluate(request, progress: progress) { row, score in
        try sink.write(JSONWriter.text(score.json(of: row)) + "\n")
      }
    }
    return report
  }

  private func evaluate(
    _ request: EvaluationRequest, progress: (Int, Int) -> Void,
    scored: (EncodedRow, RowScore) throws -> Void
  ) throws -> EvaluationReport {
    let (rows, groups) = try encodedRows(request)
    guard rows.contains(where: { $0.labelledTokenCount > 0 }) else {
      throw Diagnostic(
        .nothingToEvaluate, "no row has a labelled token", at: .file(request.source.path))
    }
    var report = EvaluationReport()
    for batch in batches(rows) {
      let scores = try score(Array(rows[batch]), exactMatch: request.measuresExactMatch)
      try loaded.model.checkWeights()
      try loaded.model.backend.checkHealth()
      for (row, score) in zip(batch, scores) {
        add(score, to: &report, group: groups[rows[row].number])
        try scored(rows[row], score)
        if report.examples.count < request.exampleCount {
          report.examples.append(example(rows[row]))
        }
      }
      progress(batch.upperBound, rows.count)
    }
    return report
  }

  private func encodedRows(
    _ request: EvaluationRequest
  ) throws -> (rows: [EncodedRow], groups: [Int: String]) {
    let encoder = RowEncoder(
      tokenizer: loaded.text.tokenizer, template: loaded.text.template, maxTokens: Self.maxTokens,
      answerStart: loaded.text.answerStart)
    var report = EncodingReport()
    var rows: [EncodedRow] = []
    var groups: [Int: String] = [:]
    try RowReader(path: request.source.path).forEachRow(limit: request.rowLimit) { row in
      if let limit = request.rowLimit, row.number > limit { return }
      rows += try encoder.encode(row, format: request.source.format, report: &report)
      if let key = request.groupKey { groups[row.number] = row.value[key]?.stringValue ?? "none" }
    }
    return (rows, groups)
  }

  /// Runs of rows that together fill one forward pass.
  private func batches(_ rows: [EncodedRow]) -> [Range<Int>] {
    var batches: [Range<Int>] = []
    var start = 0
    var tokens = 0
    for (index, row) in rows.enumerated() {
      if index > start, tokens + row.tokens.count > Self.tokensPerPass {
        batches.append(start..<index)
        (start, tokens) = (index, 0)
      }
      tokens += row.tokens.count
    }
    if start < rows.count { batches.append(start..<rows.count) }
    return batches
  }

  private func add(_ score: RowScore, to report: inout EvaluationReport, group: String?) {
    report.total.add(score)
    guard let group else { return }
    if let index = report.groups.firstIndex(where: { $0.name == group }) {
      report.groups[index].counts.add(score)
    } else {
      var counts = EvaluationCounts()
      counts.add(score)
      report.groups.append((group, counts))
    }
  }

  private func example(_ row: EncodedRow) -> EvaluationExample {
    let promptCount = row.answer?.promptTokenCount ?? 0
    let prompt = Array(row.tokens[..<promptCount])
    return EvaluationExample(
      prompt: loaded.text.tokenizer.decode(prompt, skipsControlTokens: false),
      expected: row.answer?.text ?? "",
      answer: Generator(loaded).answer(
        to: prompt, maxTokens: 2 * (row.tokens.count - promptCount) + 16))
  }
}

/// The measures of one row.
struct RowScore {
  /// Of each token: its negative log-likelihood after those before it, and the token that would
  /// have been most likely. Of the first nothing is known.
  let predictions: [(loss: Float, mostLikely: Int32)?]
  var lossSum = 0.0
  var labelledTokens = 0
  var isMatch = false

  /// The line of `tokensPath`.
  func json(of row: EncodedRow) -> JSONValue {
    func list(_ values: [Int32]) -> JSONValue { .list(values.map { .int(Int($0)) }) }
    let losses = predictions.map { $0.map { JSONValue.double(Double($0.loss)) } ?? .null }
    let likely = predictions.map { $0.map { JSONValue.int(Int($0.mostLikely)) } ?? .null }
    return .dictionary([
      ("row", .int(row.number)), ("tokens", list(row.tokens)), ("labels", list(row.labels)),
      ("negativeLogLikelihoods", .list(losses)), ("mostLikely", .list(likely)),
    ])
  }
}

extension EvaluationCounts {
  fileprivate mutating func add(_ score: RowScore) {
    rows += 1
    lossSum += score.lossSum
    labelledTokens += score.labelledTokens
    matches += score.isMatch ? 1 : 0
  }
}
