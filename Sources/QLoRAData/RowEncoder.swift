// From rows to tokens and labels by the model's own tokenizer and chat template. It reads no files
// and packs nothing.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText

package struct RowEncoder: Sendable {
  let tokenizer: Tokenizer
  let template: ChatTemplate?
  let maxTokens: Int
  let overLength: OverLength
  let keepsOrigins: Bool
  let trainedTurns: TrainedTurns
  /// nil where rows train a language model.
  let classes: ClassEncoding?
  /// What an answer begins behind where a model reads prompts apart from what it writes; else nil.
  let answerStart: Int32?
  private let lookalikes: ControlLookalikes
  /// What the tokenizer puts before any text, such as Llama 3's beginning token.
  private let textPrefix: [Int32]

  /// - Parameters:
  ///   - template: nil where the model has none, which only conversations need.
  ///   - maxTokens: the longest encoded row, at least 2: a single token has nothing to predict.
  ///   - keepsOrigins: whether rows say who wrote each token.
  ///   - classes: of rows that have one.
  ///   - answerStart: of models that read one text and write another.
  package init(
    tokenizer: Tokenizer, template: ChatTemplate?, maxTokens: Int,
    overLength: OverLength = .truncate, trainedTurns: TrainedTurns = .allAssistant,
    keepsOrigins: Bool = false, classes: ClassEncoding? = nil, answerStart: Int32? = nil
  ) {
    self.answerStart = answerStart
    self.classes = classes
    self.keepsOrigins = keepsOrigins
    self.tokenizer = tokenizer
    self.template = template
    self.maxTokens = max(2, maxTokens)
    self.overLength = overLength
    self.trainedTurns = trainedTurns
    lookalikes = ControlLookalikes(tokenizer)
    let bos = tokenizer.bosToken?.id
    textPrefix = tokenizer.encode("", addSpecialTokens: true).filter { $0 == bos }
  }

  /// Encodes one row: one result, several for a long plain text, none where it is dropped.
  ///
  /// - Throws: `Diagnostic` E0405–E0408 and E0410 with the row, or the template's own error placed
  ///   at the row.
  package func encode(
    _ row: DataRow, format: RowFormat, source: Int = 0, report: inout EncodingReport
  ) throws -> [EncodedRow] {
    let before = report
    report.rows += 1
    var encoded: [EncodedRow]
    switch try format.content(of: row) {
    case let content where answerStart != nil:
      encoded = try readAndWritten(content, row, source, &report)
    case .conversation(let messages, let tools):
      let whole = try conversation(messages, tools, row, source, &report)
      encoded = try fit(whole, row, &report)
    case .completion(let prompt, let completion):
      let whole = try self.completion(prompt, completion, row, source, &report)
      encoded = try fit(whole, row, &report)
    case .text(let text):
      encoded = try plainText(text, row, source)
    case .classified(let text, let pair, let label):
      encoded = try classified(text, pair, label, row, source, &report)
    }
    report.encodedRows += encoded.count
    report.tokens += encoded.reduce(0) { $0 + $1.tokens.count }
    report.labelledTokens += encoded.reduce(0) { $0 + $1.labelledTokenCount }
    report.note(source: source, row: row.number, since: before)
    return encoded
  }

  func countLookalikes(_ text: String) -> Int { lookalikes.count(in: text) }

  private func conversation(
    _ messages: [JSONValue], _ tools: JSONValue?, _ row: DataRow, _ source: Int,
    _ report: inout EncodingReport
  ) throws -> EncodedRow {
    let marked = try TrainedMessages(messages, trainedTurns, row)
    let messages = marked.messages
    let segments = try render(messages, tools, row, addsGenerationPrompt: false)
    for segment in segments where segment.origin != .template {
      report.controlLookalikes += lookalikes.count(in: segment.text)
    }
    let text = tokenizer.encode(segments)
    let turns = try marked.trained.map { index in
      ChatMask.Turn(
        message: index,
        wholeTurnStart: messages[index]["tool_calls"]?.arrayValue?.isEmpty == false
          ? try turnStart(index, messages, tools, row, in: segments) : nil)
    }
    let mask = ChatMask(segments, text, turns: turns, isSpecial: tokenizer.isControl)
    try check(mask, marked, row)
    let answer = mask.lastAnswerStart.map { start in
      EncodedRow.Answer(
        promptTokenCount: start,
        text: marked.trained.last.flatMap { messages[$0]["content"]?.stringValue } ?? "")
    }
    let labels = zip(text.ids, mask.isTrained).map { $1 ? $0 : untrainedLabel }
    let roles = messages.map { TokenOrigin(role: $0["role"]?.stringValue) }
    return EncodedRow(
      tokens: text.ids, labels: labels, source: source, number: row.number, answer: answer,
      origins: keepsOrigins ? TokenOrigin.origins(text, segments, roles: roles) : [])
  }

  private func check(
    _ mask: ChatMask, _ marked: TrainedMessages, _ row: DataRow
  ) throws(Diagnostic) {
    // The first token has nothing before it that could predict it.
    guard mask.isTrained.dropFirst().contains(true) else {
      let reason =
        marked.trained.isEmpty
        ? marked.hasMarks
          ? "every assistant message has weight 0" : "the conversation has no assistant message"
        : "the assistant's content is empty or the chat template leaves it out"
      throw row.failure(
        .nothingTrained, "nothing would be trained: \(reason)",
        remedy: "add the assistant's turn, or delete the row")
    }
    if mask.endsOfTurns.isEmpty {
      throw row.failure(
        .noEndOfTurn,
        "no end-of-turn token would be trained: the chat template writes no control token after "
          + "the assistant's content",
        remedy: "use the model's own chat template and tokenizer files")
    }
  }

  func render(
    _ messages: [JSONValue], _ tools: JSONValue?, _ row: DataRow, addsGenerationPrompt: Bool
  ) throws -> [TextSegment] {
    guard let template else {
      throw row.failure(
        .chatTemplateMissing, "a conversation needs a chat template; there is none",
        remedy: "use the model's instruct version, or rows of another format")
    }
    do {
      return try template.render(
        messages, tools: tools, addsGenerationPrompt: addsGenerationPrompt)
    } catch let problem as Diagnostic {
      throw row.failure(problem.code, problem.message, remedy: problem.remedy)
    }
  }

  /// Where the turn of an assistant message begins in the rendered text: after what the template
  /// writes to ask for it. Nil where the template writes something else there in a full text.
  private func turnStart(
    _ message: Int, _ messages: [JSONValue], _ tools: JSONValue?, _ row: DataRow,
    in segments: [TextSegment]
  ) throws -> Int? {
    let prompt = try render(
      Array(messages[..<message]), tools, row, addsGenerationPrompt: true)
    let promptBytes = prompt.flatMap { $0.text.utf8 }
    let bytes = segments.flatMap { $0.text.utf8 }
    return bytes.starts(with: promptBytes) ? promptBytes.count : nil
  }

  private func completion(
    _ prompt: String, _ completion: String, _ row: DataRow, _ source: Int,
    _ report: inout EncodingReport
  ) throws(Diagnostic) -> EncodedRow {
    guard let end = tokenizer.eosToken?.id else {
      throw row.failure(.noEndOfTurn, "the tokenizer has no end-of-sequence token to train")
    }
    report.controlLookalikes += lookalikes.count(in: prompt) + lookalikes.count(in: completion)
    let segments = [
      TextSegment(text: prompt, origin: .message(0)),
      TextSegment(text: completion, origin: .message(1)),
    ]
    let text = tokenizer.encode(segments)
    let border = prompt.utf8.count
    var labels = [Int32](repeating: untrainedLabel, count: textPrefix.count)
    for (id, range) in zip(text.ids, text.byteRanges) {
      labels.append(range.upperBound > border ? id : untrainedLabel)
    }
    let start = labels.firstIndex { $0 != untrainedLabel } ?? labels.count
    return EncodedRow(
      tokens: textPrefix + text.ids + [end], labels: labels + [end], source: source,
      number: row.number, answer: .init(promptTokenCount: start, text: completion),
      origins: keepsOrigins
        ? textPrefix.map { _ in .template }
          + TokenOrigin.origins(text, segments, roles: [.user, .assistant]) + [.template] : [])
  }

  /// Plain text ends with the end-of-sequence token and is cut into rows of `maxTokens`.
  private func plainText(
    _ text: String, _ row: DataRow, _ source: Int
  ) throws(Diagnostic) -> [EncodedRow] {
    var tokens = tokenizer.encode(text, addSpecialTokens: true)
    if let end = tokenizer.eosToken?.id, tokens.last != end || text.isEmpty { tokens.append(end) }
    guard tokens.count > 1 else {
      throw row.failure(.nothingTrained, "nothing would be trained: the text is empty")
    }
    return stride(from: 0, to: tokens.count, by: maxTokens).map { start in
      let piece = Array(tokens[start..<min(start + maxTokens, tokens.count)])
      return EncodedRow(
        tokens: piece, labels: piece, source: source, number: row.number,
        origins: keepsOrigins ? piece.map { _ in .text } : [])
    }
  }

  private func fit(
    _ row: EncodedRow, _ origin: DataRow, _ report: inout EncodingReport
  ) throws(Diagnostic) -> [EncodedRow] {
    guard row.tokens.count > maxTokens else { return [row] }
    switch overLength {
    case .error:
      throw origin.failure(
        .rowTooLong, "\(row.tokens.count) tokens, but data.maxTokens is \(maxTokens)",
        remedy: "raise data.maxTokens or set data.overLength to \"truncate\" or \"drop\"")
    case .drop:
      report.dropped += 1
      return []
    case .truncate:
      var cut = row
      cut.tokens.removeLast(row.tokens.count - maxTokens)
      cut.labels.removeLast(row.labels.count - maxTokens)
      cut.origins = Array(row.origins.prefix(maxTokens))
      if let answer = row.answer, answer.promptTokenCount >= maxTokens { cut.answer = nil }
      guard cut.labelledTokenCount > 0 else {
        report.dropped += 1
        return []
      }
      report.truncated += 1
      return [cut]
    }
  }
}
