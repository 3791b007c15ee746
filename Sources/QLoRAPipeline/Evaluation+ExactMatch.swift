// Exact match at the price of one forward pass: the expected answer is scored all at once, and only
// where the model would go another way is its own continuation looked at.

import QLoRAData
import QLoRAModels
import QLoRATensor

extension Evaluator {
  /// Scores rows in one packed forward pass.
  func score(_ rows: [EncodedRow], exactMatch: Bool) throws -> [RowScore] {
    let batch = MicroBatch([PackedSequence(rows)])
    var predicted = batch.tokenBatch
    // Every position is asked for its most likely token: the answer's first is often no label.
    var all = batch.tokens.indices.dropLast().filter { !batch.bounds.contains($0 + 1) }
    // What is read predicts nothing.
    if loaded.model.readsAndWrites { all = all.filter { batch.types[$0] == 1 } }
    predicted.rows = all.map(Int32.init)
    predicted.targets = all.map { batch.tokens[$0 + 1] }
    let scores = loaded.model.score(predicted)
    var likely: [Int: (loss: Float, mostLikely: Int32)] = [:]
    for (index, position) in all.enumerated() {
      likely[position + 1] = (scores.negativeLogLikelihoods[index], scores.mostLikely[index])
    }
    return rows.indices.map { index in
      let start = batch.bounds[index]
      var score = RowScore(predictions: rows[index].tokens.indices.map { likely[start + $0] })
      for (offset, label) in rows[index].labels.enumerated() where label != untrainedLabel {
        score.lossSum += Double(score.predictions[offset]?.loss ?? 0)
        score.labelledTokens += 1
      }
      if exactMatch {
        score.isMatch = isMatch(rows[index]) { score.predictions[$0]?.mostLikely }
      }
      return score
    }
  }

  /// Whether the greedy continuation up to the end of the turn, trimmed, is the expected answer.
  ///
  /// Follows the expected tokens while they are the model's own choice. Where the model chooses
  /// another token, the answer may still be the same text in other tokens, so generation goes on
  /// from there for as long as its text is a beginning of the answer.
  private func isMatch(_ row: EncodedRow, _ choice: (Int) -> Int32?) -> Bool {
    guard let answer = row.answer else { return false }
    let expected = answer.text.trimmed
    var position = answer.promptTokenCount
    while position < row.tokens.count, let token = choice(position) {
      if loaded.text.endTokens.contains(token) {
        let written = Array(row.tokens[answer.promptTokenCount..<position])
        return loaded.text.tokenizer.decode(written).trimmed == expected
      }
      if token != row.tokens[position] {
        let written = Array(row.tokens[answer.promptTokenCount..<position]) + [token]
        guard isBeginning(written, of: expected) else { return false }
        return continues(Array(row.tokens[..<position]) + [token], row: row, expected: expected)
      }
      position += 1
    }
    return loaded.text.tokenizer.decode(
      Array(row.tokens[answer.promptTokenCount...])).trimmed == expected
  }

  private func isBeginning(_ tokens: [Int32], of expected: String) -> Bool {
    var decoder = loaded.text.tokenizer.makeStreamingDecoder()
    let text = tokens.map { decoder.append($0) }.joined().trimmedStart
    return expected.hasPrefix(text) || text.trimmed == expected
  }

  /// Generates on from `tokens` and stops at the first token that cannot lead to the answer.
  private func continues(_ tokens: [Int32], row: EncodedRow, expected: String) -> Bool {
    let promptCount = row.answer?.promptTokenCount ?? 0
    let cache = loaded.model.makeCache()
    var written = Array(tokens[promptCount...])
    var next = tokens
    if let second = row.secondStart, loaded.model.readsAndWrites {
      _ = loaded.model.open(Array(tokens[..<second]), cache)
      next = Array(tokens[second...])
    }
    while written.count < Self.answerLimit {
      let token = loaded.model.likeliestToken(after: next, cache)
      if loaded.text.endTokens.contains(token) {
        return loaded.text.tokenizer.decode(written).trimmed == expected
      }
      written.append(token)
      guard isBeginning(written, of: expected) else { return false }
      next = [token]
    }
    return false
  }
}

extension String {
  /// Without white space and newlines at both ends.
  var trimmed: String {
    String(trimmedStart.reversed().drop(while: \.isWhitespace).reversed())
  }

  var trimmedStart: String { String(drop(while: \.isWhitespace)) }
}
