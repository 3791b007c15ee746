// Rows with a class: the text as the model's tokenizer puts it, and the label by its place.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText

/// What an encoder needs for rows with a class.
package struct ClassEncoding: Sendable {
  package let labels: LabelSet
  /// The most tokens that the model has positions for; nil where there is no such number.
  package let positionLimit: Int?

  package init(labels: LabelSet, positionLimit: Int? = nil) {
    self.labels = labels
    self.positionLimit = positionLimit
  }
}

extension RowEncoder {
  /// The tokens of a text, or of two, with what the tokenizer puts round them. What looks like a
  /// control token stays ordinary text.
  ///
  /// - Returns: a row without a label, cut where it is too long.
  package func encode(_ text: String, _ pair: String?) -> (row: EncodedRow, isCut: Bool) {
    let limit = min(maxTokens, classes?.positionLimit ?? maxTokens)
    let encoded = tokenizer.encode(text, pair, limit: limit)
    var row = EncodedRow(
      tokens: encoded.ids, labels: encoded.ids.map { _ in untrainedLabel },
      origins: keepsOrigins ? encoded.ids.map { _ in .text } : [])
    row.secondStart = encoded.secondStart
    return (row, encoded.isCut)
  }

  func classified(
    _ text: String, _ pair: String?, _ label: JSONValue, _ origin: DataRow, _ source: Int,
    _ report: inout EncodingReport
  ) throws(Diagnostic) -> [EncodedRow] {
    guard let classes else {
      throw origin.failure(
        .rowShape, "a row with a class among rows that train a language model",
        remedy: "set \"task\" to \"classification\"")
    }
    let (encoded, isCut) = encode(text, pair)
    guard !encoded.tokens.isEmpty else {
      throw origin.failure(.nothingTrained, "nothing would be trained: the text is empty")
    }
    report.controlLookalikes += countLookalikes(text) + (pair.map(countLookalikes) ?? 0)
    var row = EncodedRow(
      tokens: encoded.tokens, labels: encoded.labels, source: source, number: origin.number,
      origins: encoded.origins)
    row.secondStart = encoded.secondStart
    row.category = try classes.labels.place(of: label, in: origin)
    guard isCut else { return [row] }
    switch overLength {
    case .truncate:
      report.truncated += 1
      return [row]
    case .drop:
      report.dropped += 1
      return []
    case .error:
      throw origin.failure(
        .rowTooLong,
        "more tokens than data.maxTokens, or the model's positions, have room for",
        remedy: "raise data.maxTokens or set data.overLength to \"truncate\" or \"drop\"")
    }
  }
}
