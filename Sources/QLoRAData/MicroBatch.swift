// What one forward pass takes: sequences laid end to end, without padding.

/// One sequence of a micro-batch: a row, or several packed.
package struct PackedSequence: Sendable, Equatable {
  package let tokens: [Int32]
  /// −100 at 0 and at every entry of `starts`.
  package let labels: [Int32]
  /// Where each row begins; the first is 0.
  package let starts: [Int]
  /// The class of each row; empty where rows have none.
  package let categories: [Int32]
  /// 1 from a second text on, else 0; empty where no row has a second text.
  package let types: [Int32]

  package init(_ rows: some Sequence<EncodedRow>) {
    var tokens: [Int32] = []
    var labels: [Int32] = []
    var starts: [Int] = []
    var categories: [Int32] = []
    var types: [Int32] = []
    for row in rows {
      starts.append(tokens.count)
      tokens += row.tokens
      labels += row.labels
      if let category = row.category { categories.append(category) }
      let second = row.secondStart ?? row.tokens.count
      types += row.tokens.indices.map { $0 < second ? 0 : 1 }
    }
    self.categories = categories
    self.types = types.contains(1) ? types : []
    self.tokens = tokens
    self.labels = labels
    self.starts = starts
  }
}

/// The sequences of a micro-batch, concatenated: arrays of `tokens.count` and the bounds in them.
package struct MicroBatch: Sendable, Equatable {
  package let tokens: [Int32]
  package let labels: [Int32]
  /// Places within their row, for the rotary embedding.
  package let positions: [Int32]
  /// Where each row begins, then the count of tokens: attention never crosses these.
  package let bounds: [Int]
  /// Where each sequence begins, then the count of tokens.
  package let sequenceBounds: [Int]
  /// As in `PackedSequence`, of all sequences.
  package let categories: [Int32]
  package let types: [Int32]

  package init(_ sequences: [PackedSequence]) {
    var bounds: [Int] = []
    var sequenceBounds: [Int] = []
    var count = 0
    for sequence in sequences {
      sequenceBounds.append(count)
      bounds += sequence.starts.map { $0 + count }
      count += sequence.tokens.count
    }
    bounds.append(count)
    sequenceBounds.append(count)
    tokens = sequences.flatMap(\.tokens)
    labels = sequences.flatMap(\.labels)
    categories = sequences.flatMap(\.categories)
    types =
      sequences.allSatisfy(\.types.isEmpty)
      ? [] : sequences.flatMap { $0.types.isEmpty ? $0.tokens.map { _ in 0 } : $0.types }
    self.bounds = bounds
    self.sequenceBounds = sequenceBounds
    positions = zip(bounds, bounds.dropFirst()).flatMap { start, end in
      (0..<Int32(end - start))
    }
  }

  package var labelledTokenCount: Int {
    categories.isEmpty ? labels.count { $0 != untrainedLabel } : categories.count
  }

  /// The shift: `rows` are the places whose next token is labelled, `targets` those tokens. A pair
  /// never crosses a bound, because the first token of a row has no label.
  ///
  /// Of rows with a class: their last tokens, and the classes.
  ///
  /// Empty where no token is labelled, as in a text's last piece of a single token.
  package func predictions() -> (rows: [Int32], targets: [Int32]) {
    if !categories.isEmpty { return (bounds.dropFirst().map { Int32($0 - 1) }, categories) }
    var rows: [Int32] = []
    var targets: [Int32] = []
    for index in labels.indices.dropFirst() where labels[index] != untrainedLabel {
      rows.append(Int32(index - 1))
      targets.append(labels[index])
    }
    return (rows, targets)
  }
}
