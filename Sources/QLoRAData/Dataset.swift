// Several data sources encoded one after the other, and the split into training and validation.
import QLoRADiagnostics
import QLoRARandom

/// A data file and how its rows are laid out.
package struct DataSource: Sendable, Equatable {
  package let path: String
  package let format: RowFormat

  package init(path: String, format: RowFormat) {
    self.path = path
    self.format = format
  }
}

/// Encoded rows with the counts of their encoding.
package struct Dataset: Sendable {
  package let rows: [EncodedRow]
  package let report: EncodingReport

  package init(rows: [EncodedRow], report: EncodingReport = EncodingReport()) {
    self.rows = rows
    self.report = report
  }

  /// Reads and encodes the sources in their order.
  ///
  /// - Throws: `Diagnostic` E04xx of the first bad row, E0409 where no row is left.
  package static func load(_ sources: [DataSource], encoder: RowEncoder) throws -> Dataset {
    var rows: [EncodedRow] = []
    var report = EncodingReport()
    for (index, source) in sources.enumerated() {
      try RowReader(path: source.path).forEachRow { row in
        rows += try encoder.encode(row, format: source.format, source: index, report: &report)
      }
    }
    if rows.isEmpty {
      let found =
        report.dropped > 0
        ? "all \(report.dropped) rows were dropped: too long for data.maxTokens"
        : "the data hold no rows"
      throw Diagnostic(.noRows, found, at: sources.first.map { .file($0.path) },
        remedy: report.dropped > 0
          ? "raise data.maxTokens, or set data.overLength to \"truncate\""
          : "put one JSON object on each line")
    }
    return Dataset(rows: rows, report: report)
  }

  /// Takes a random part out for validation; both keep the rows' order, and the pieces of one text
  /// stay together.
  ///
  /// - Parameter fraction: of the rows read, 0…1; at least one row stays on either side where
  ///   there are two.
  package func split(
    validationFraction fraction: Double, seed: UInt64
  ) -> (train: [EncodedRow], validation: [EncodedRow]) {
    var groups: [Range<Int>] = []
    for index in rows.indices {
      if let last = groups.last, rows[last.lowerBound].source == rows[index].source,
        rows[last.lowerBound].number == rows[index].number
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
    var train: [EncodedRow] = []
    var validation: [EncodedRow] = []
    for (index, group) in groups.enumerated() {
      if chosen.contains(index) { validation += rows[group] } else { train += rows[group] }
    }
    return (train, validation)
  }
}
