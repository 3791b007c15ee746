// What `qlora preview` shows to people: the first sequences of a run token by token, and what is
// worth knowing of all its rows.
import QLoRAData
import QLoRADiagnostics
import QLoRASystem
import QLoRAText

package struct PreviewReport {
  /// How many tokens somebody wrote, and how many of them are trained.
  package struct Count: Sendable, Equatable {
    package var tokens = 0
    package var trained = 0
  }

  /// A token of a sequence as it is shown.
  package struct Token: Sendable, Equatable {
    package var id: Int32
    /// What it adds to the text; empty for the beginning of an unfinished character.
    package var text: String
    package var isTrained: Bool
    package var origin: TokenOrigin
    /// Place in the sequence.
    package var index: Int
  }

  /// A row in a sequence.
  package struct Row: Sendable, Equatable {
    /// Such as `train.jsonl:17`.
    package var name: String
    /// Its first token's place in the sequence.
    package var start: Int
    package var tokens: [Token]
    /// The name of its class, where rows have one.
    package var label: String?

    package var trained: Int { tokens.count(where: \.isTrained) }
    /// What of it is learnt.
    var learnt: String { label.map { "class \"\($0)\"" } ?? "\(trained) trained" }
  }

  package struct Sequence: Sendable {
    package var line: PreviewLine
    package var rows: [Row]

    package var title: String {
      let count = line.content.tokens.count
      let trained = rows.reduce(0) { $0 + $1.trained }
      let part = "\(trained) trained (\(PreviewReport.percent(trained, of: count)))"
      let learnt = rows.contains { $0.label != nil } ? "a class for each row" : part
      return "step \(line.step), micro-batch \(line.microBatch), sequence \(line.sequence): "
        + "\(count) tokens, \(learnt), "
        + "\(rows.count) row\(rows.count == 1 ? "" : "s")"
    }

    package var counts: [(origin: TokenOrigin, count: Count)] {
      PreviewReport.counts(line.rows)
    }
  }

  package let name: String
  package let sequences: [Sequence]
  package let report: EncodingReport
  /// Of all training rows.
  package let counts: [(origin: TokenOrigin, count: Count)]
  /// Names of rows that have the tokens and labels of one before, as far as they are named.
  package let duplicates: [String]
  package let duplicateCount: Int
  package let maxTokens: Int
  private let sources: [String]

  /// Rows of a kind that a person is told of.
  private static let namedRows = 12

  /// - Parameters:
  ///   - sources: names of the data files, by `EncodedRow.source`.
  ///   - rows: all training rows, with their origins.
  ///   - labels: of classes, in their order.
  package init(
    name: String, sources: [String], lines: [PreviewLine], rows: EncodedRows,
    report: EncodingReport, maxTokens: Int, tokenizer: Tokenizer, labels: [String] = []
  ) throws(Diagnostic) {
    self.name = name
    self.sources = sources
    self.report = report
    self.maxTokens = maxTokens
    sequences = lines.map { Self.sequence($0, sources, tokenizer, labels) }
    var counts: [TokenOrigin: Count] = [:]
    // Rows may be many more than memory holds, so they are told apart by 128 bits of each.
    var seen: Set<Digest> = []
    var (duplicates, duplicateCount): ([String], Int) = ([], 0)
    for index in 0..<rows.count {
      let row = try rows.row(index)
      Self.add(row, to: &counts)
      guard !seen.insert(Self.digest(of: row)).inserted else { continue }
      duplicateCount += 1
      if duplicates.count < Self.namedRows { duplicates.append(Self.name(row, sources)) }
    }
    self.counts = Self.inOrder(counts)
    self.duplicates = duplicates
    self.duplicateCount = duplicateCount
  }

  private static func digest(of row: EncodedRow) -> Digest {
    let stream = StreamingDigest()
    row.tokens.withUnsafeBytes(stream.update)
    row.labels.withUnsafeBytes(stream.update)
    return stream.digest
  }

  private static func name(_ row: EncodedRow, _ sources: [String]) -> String {
    "\(sources[row.source]):\(row.number)"
  }

  private static func sequence(
    _ line: PreviewLine, _ sources: [String], _ tokenizer: Tokenizer, _ labels: [String]
  ) -> Sequence {
    let rows = zip(line.rows, line.content.starts).map { row, start in
      var decoder = tokenizer.makeStreamingDecoder()
      var tokens = row.tokens.indices.map { index in
        Token(
          id: row.tokens[index], text: decoder.append(row.tokens[index]),
          isTrained: row.labels[index] != untrainedLabel, origin: row.origins[index],
          index: start + index)
      }
      if !tokens.isEmpty { tokens[tokens.count - 1].text += decoder.finish() }
      let label = row.category.flatMap { labels.indices.contains(Int($0)) ? labels[Int($0)] : nil }
      return Row(name: name(row, sources), start: start, tokens: tokens, label: label)
    }
    return Sequence(line: line, rows: rows)
  }

  /// Only those who wrote something, in the order of `TokenOrigin`.
  static func counts(_ rows: [EncodedRow]) -> [(origin: TokenOrigin, count: Count)] {
    var counts: [TokenOrigin: Count] = [:]
    for row in rows { add(row, to: &counts) }
    return inOrder(counts)
  }

  private static func add(_ row: EncodedRow, to counts: inout [TokenOrigin: Count]) {
    for (origin, label) in zip(row.origins, row.labels) {
      counts[origin, default: Count()].tokens += 1
      if label != untrainedLabel { counts[origin, default: Count()].trained += 1 }
    }
  }

  private static func inOrder(
    _ counts: [TokenOrigin: Count]
  ) -> [(origin: TokenOrigin, count: Count)] {
    TokenOrigin.allCases.compactMap { origin in counts[origin].map { (origin, $0) } }
  }

  static func percent(_ part: Int, of whole: Int) -> String {
    ProgressText.decimal(Double(part) * 100 / Double(max(1, whole)), 1) + " %"
  }

  /// `user 120 · assistant 40, 40 trained`.
  static func text(_ counts: [(origin: TokenOrigin, count: Count)]) -> String {
    counts.map { origin, count in
      "\(origin.name) \(count.tokens)" + (count.trained > 0 ? ", \(count.trained) trained" : "")
    }.joined(separator: " · ")
  }

  /// What there is to say of all rows: a name and a text each.
  package var summary: [(name: String, text: String)] {
    var facts = [
      (name: "rows", text: "\(report.rows) read, \(report.encodedRows) to train on"),
      (
        "tokens",
        "\(report.tokens), \(report.labelledTokens) trained ("
          + "\(Self.percent(report.labelledTokens, of: report.tokens)))"
      ),
      ("by author", Self.text(counts)),
    ]
    if report.truncated > 0 {
      facts.append(
        ("truncated", "\(report.truncated) to \(maxTokens) tokens\(rows(.truncated))"))
    }
    if report.dropped > 0 { facts.append(("dropped", "\(report.dropped)\(rows(.dropped))")) }
    if report.controlLookalikes > 0 {
      facts.append(
        (
          "control tokens spelled in text",
          "\(report.controlLookalikes), kept as plain text\(rows(.controlLookalike))"
        ))
    }
    if duplicateCount > 0 {
      let more = duplicateCount - duplicates.count
      facts.append(
        (
          "duplicates",
          "\(duplicateCount) rows repeat one before: "
            + duplicates.joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
        ))
    }
    return facts
  }

  /// `: train.jsonl:3, train.jsonl:9 and more`.
  private func rows(_ kind: RowNote.Kind) -> String {
    let notes = report.notes.filter { $0.kind == kind }
    let names = notes.prefix(Self.namedRows).map { "\(sources[$0.source]):\($0.row)" }
    return ": " + names.joined(separator: ", ") + (notes.count > names.count ? " and more" : "")
  }
}
