// What encoding makes of rows: tokens with labels, and the counts that a run reports.

/// The label of a token that is not trained, as PyTorch's cross entropy ignores it.
package let untrainedLabel: Int32 = -100

/// A row as the model sees it. `labels[i]` belongs to `tokens[i]`; the shift is the model's.
package struct EncodedRow: Sendable, Equatable {
  /// What a greedy continuation is compared with.
  package struct Answer: Sendable, Equatable {
    /// How many of the row's tokens come before the answer: the prompt of a generation.
    package let promptTokenCount: Int
    /// The last assistant message, or the completion.
    package let text: String

    package init(promptTokenCount: Int, text: String) {
      self.promptTokenCount = promptTokenCount
      self.text = text
    }
  }

  package var tokens: [Int32]
  /// The token itself where it is trained, else −100; the first is always −100.
  package var labels: [Int32]
  /// Which of the data sources the row comes from, counted from 0.
  package let source: Int
  /// The row's number in its file, counted from 1.
  package let number: Int
  /// Nil for plain text and where cutting left nothing of the answer.
  package var answer: Answer?
  /// The class of the whole row, where it has one; then no token has a label.
  package var category: Int32?
  /// Where the second of two texts begins.
  package var secondStart: Int?
  /// Who wrote each token; empty unless the encoder was asked for it.
  package var origins: [TokenOrigin]

  package init(
    tokens: [Int32], labels: [Int32], source: Int = 0, number: Int = 1, answer: Answer? = nil,
    origins: [TokenOrigin] = []
  ) {
    precondition(tokens.count == labels.count)
    self.tokens = tokens
    self.labels = labels
    if !labels.isEmpty { self.labels[0] = untrainedLabel }
    self.source = source
    self.number = number
    self.answer = answer
    self.origins = origins
  }

  /// The last stretch of trained tokens: an answer, where the row has one.
  package var lastTrained: Range<Int>? {
    guard let last = labels.lastIndex(where: { $0 != untrainedLabel }) else { return nil }
    let before = labels[..<last].lastIndex { $0 == untrainedLabel }
    return (before.map { $0 + 1 } ?? 0)..<(last + 1)
  }

  /// Of a row with a class, 1.
  package var labelledTokenCount: Int {
    category == nil ? labels.count { $0 != untrainedLabel } : 1
  }
}

/// What becomes of a conversation or completion with more tokens than fit.
package enum OverLength: String, Sendable, CaseIterable {
  case truncate, drop, error
}

/// A row that was cut, left out, or that spells a control token.
package struct RowNote: Sendable, Equatable {
  package enum Kind: Sendable { case truncated, dropped, controlLookalike }

  package let kind: Kind
  /// As in `EncodedRow`.
  package let source: Int
  package let row: Int

  package init(kind: Kind, source: Int, row: Int) {
    self.kind = kind
    self.source = source
    self.row = row
  }
}

/// The counts of one encoding, for the log and for `validate`.
package struct EncodingReport: Sendable, Equatable {
  /// Rows read from files.
  package var rows = 0
  /// Rows after encoding; plain text longer than `maxTokens` becomes several.
  package var encodedRows = 0
  package var tokens = 0
  package var labelledTokens = 0
  /// Rows cut at `maxTokens`.
  package var truncated = 0
  /// Rows left out: too long under `drop`, or cut before their first trained token.
  package var dropped = 0
  /// Places in messages and tools that spell a control token and were kept as ordinary text.
  package var controlLookalikes = 0
  /// The first rows of each kind that somebody may want to look at.
  package private(set) var notes: [RowNote] = []

  /// Notes of each kind that are kept.
  private static let notesOfAKind = 100

  package init() {}

  /// Notes what the counts say of one row.
  mutating func note(source: Int, row: Int, since before: EncodingReport) {
    func add(_ kind: RowNote.Kind, _ isSo: Bool) {
      guard isSo, notes.count(where: { $0.kind == kind }) < Self.notesOfAKind else { return }
      notes.append(RowNote(kind: kind, source: source, row: row))
    }
    add(.truncated, truncated > before.truncated)
    add(.dropped, dropped > before.dropped)
    add(.controlLookalike, controlLookalikes > before.controlLookalikes)
  }
}
