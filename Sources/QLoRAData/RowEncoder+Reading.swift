// Rows for models that read one text and write another: the prompt is read, the answer is written.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText

extension RowEncoder {
  /// What is read comes first, as the tokenizer puts it; behind `answerStart` comes the answer with
  /// the token that ends it, and that alone is trained.
  ///
  /// - Throws: for a row without a prompt or an answer, and as `encode`.
  func readAndWritten(
    _ content: RowContent, _ origin: DataRow, _ source: Int, _ report: inout EncodingReport
  ) throws -> [EncodedRow] {
    guard let start = answerStart else { return [] }
    guard let end = tokenizer.eosToken?.id else {
      throw origin.failure(.noEndOfTurn, "the tokenizer has no end-of-sequence token to train")
    }
    let (prompt, answer) = try promptAndAnswer(content, origin)
    report.controlLookalikes += countLookalikes(prompt) + countLookalikes(answer)
    func ended(_ text: String) -> [Int32] {
      let tokens = tokenizer.encode(text, addSpecialTokens: true)
      return tokens.last == end ? tokens : tokens + [end]
    }
    var (read, written) = (ended(prompt), ended(answer))
    let excess = read.count + 1 + written.count - maxTokens
    if excess > 0 {
      guard try cuts(origin, tokens: excess + maxTokens, &report) else { return [] }
      // Of what is read first, which keeps its end; of the answer only what then is too much.
      let kept = max(1, read.count - excess)
      read = Array(read.prefix(kept - 1)) + [end]
      written = Array(written.prefix(max(0, maxTokens - 1 - read.count)))
      guard !written.isEmpty else {
        report.dropped += 1
        return []
      }
      report.truncated += 1
    }
    let before = read.count + 1
    var row = EncodedRow(
      tokens: read + [start] + written,
      labels: [Int32](repeating: untrainedLabel, count: before) + written, source: source,
      number: origin.number, answer: .init(promptTokenCount: before, text: answer),
      origins: keepsOrigins
        ? read.map { _ in .user } + [.template] + written.map { _ in .assistant } : [])
    row.secondStart = read.count
    return [row]
  }

  /// - Returns: whether the row is cut, not dropped.
  private func cuts(
    _ origin: DataRow, tokens: Int, _ report: inout EncodingReport
  ) throws(Diagnostic) -> Bool {
    switch overLength {
    case .truncate: return true
    case .drop:
      report.dropped += 1
      return false
    case .error:
      throw origin.failure(
        .rowTooLong, "\(tokens) tokens, but data.maxTokens is \(maxTokens)",
        remedy: "raise data.maxTokens or set data.overLength to \"truncate\" or \"drop\"")
    }
  }

  /// Of a conversation the last answer, and all before it: by the chat template, or without one the
  /// messages' own words, a line each.
  private func promptAndAnswer(
    _ content: RowContent, _ origin: DataRow
  ) throws -> (prompt: String, answer: String) {
    switch content {
    case .completion(let prompt, let completion): return (prompt, completion)
    case .conversation(let messages, let tools):
      guard let last = messages.last, last["role"]?.stringValue == "assistant",
        let answer = last["content"]?.stringValue
      else {
        throw origin.failure(
          .nothingTrained, "nothing would be trained: the conversation ends without an answer",
          remedy: "add the assistant's turn, or delete the row")
      }
      let before = Array(messages.dropLast())
      guard template != nil else {
        return (before.compactMap { $0["content"]?.stringValue }.joined(separator: "\n"), answer)
      }
      let segments = try render(before, tools, origin, addsGenerationPrompt: true)
      return (segments.map(\.text).joined(), answer)
    case .text, .classified:
      throw origin.failure(
        .rowShape, "this model reads one text and writes another, and the row has no two of them",
        remedy: "give rows of the format prompt-completion, or conversations")
    }
  }
}
