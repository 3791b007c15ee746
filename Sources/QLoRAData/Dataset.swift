// Several data sources encoded one after the other, and the split into training and validation.
import QLoRADiagnostics
import QLoRARandom

/// A data file and how its rows are laid out.
package struct DataSource: Sendable, Equatable {
  package let path: String
  package let format: RowFormat
  /// Rows that are read; nil reads all.
  package let limit: Int?

  package init(path: String, format: RowFormat, limit: Int? = nil) {
    self.path = path
    self.format = format
    self.limit = limit
  }
}

/// Encoded rows with the counts of their encoding.
package struct Dataset: Sendable {
  package let rows: EncodedRows
  package let report: EncodingReport

  package init(rows: EncodedRows, report: EncodingReport = EncodingReport()) {
    self.rows = rows
    self.report = report
  }

  /// Reads and encodes the sources in their order, a row at a time.
  ///
  /// - Parameter memory: what the rows may take; nil keeps them all in memory.
  /// - Throws: `Diagnostic` E04xx of the first bad row, E0409 where no row is left.
  package static func load(
    _ sources: [DataSource], encoder: RowEncoder, memory: RowMemory? = nil
  ) throws -> Dataset {
    var rows = EncodedRowsBuilder(memory)
    var report = EncodingReport()
    for (index, source) in sources.enumerated() {
      try RowReader(path: source.path).forEachRow(limit: source.limit) { row in
        let encoded = try encoder.encode(
          row, format: source.format, source: index, report: &report)
        for row in encoded { try rows.append(row) }
      }
    }
    if rows.isEmpty {
      throw noRows(sources, encoder, report)
    }
    return Dataset(rows: try rows.finish(), report: report)
  }

  private static func noRows(
    _ sources: [DataSource], _ encoder: RowEncoder, _ report: EncodingReport
  ) -> Diagnostic {
    let place = sources.first.map { DiagnosticLocation.file($0.path) }
    guard report.dropped > 0 else {
      return Diagnostic(
        .noRows, "the data hold no rows", at: place, remedy: "put one JSON object on each line")
    }
    guard encoder.overLength == .truncate else {
      return Diagnostic(
        .noRows, "all \(report.dropped) rows were dropped: too long for data.maxTokens", at: place,
        remedy: "raise data.maxTokens, or set data.overLength to \"truncate\"")
    }
    return Diagnostic(
      .noRows,
      "all \(report.dropped) rows were dropped: cut to data.maxTokens, \(encoder.maxTokens), they "
        + "end before their first trained token", at: place, remedy: "raise data.maxTokens")
  }

  /// Takes a random part out for validation; both keep the rows' order, and the pieces of one text
  /// stay together.
  ///
  /// - Parameter fraction: of the rows read, 0…1; at least one row stays on either side where
  ///   there are two.
  package func split(
    validationFraction fraction: Double, seed: UInt64
  ) -> (train: EncodedRows, validation: EncodedRows) {
    var groups: [Range<Int>] = []
    for index in 0..<rows.count {
      if let last = groups.last, rows.source(last.lowerBound) == rows.source(index),
        rows.number(last.lowerBound) == rows.number(index)
      {
        groups[groups.count - 1] = last.lowerBound..<index + 1
      } else {
        groups.append(index..<index + 1)
      }
    }
    let wanted = Int((Double(groups.count) * min(max(fraction, 0), 1)).rounded())
    let count = groups.count < 2 || fraction <= 0 ? 0 : min(max(wanted, 1), groups.count - 1)
    // A stream of its own: epochs use the small numbers.
    var generator = SplitMix64(seed: seed, stream: .max)
    let chosen = Set(generator.permutation(groups.count).prefix(count))
    var train: [Int] = []
    var validation: [Int] = []
    for (index, group) in groups.enumerated() {
      if chosen.contains(index) { validation += group } else { train += group }
    }
    return (rows.choosing(train), rows.choosing(validation))
  }
}
