// Conversations through chat templates: what is trained, what is refused, the exact-match answer.
import QLoRAData
import QLoRADiagnostics
import QLoRAText
import Testing

struct ConversationTests {
  private static let chatML =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    + "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

  private func encode(
    _ json: String, _ format: RowFormat, source: String = chatML, maxTokens: Int = 200,
    report: inout EncodingReport
  ) throws -> EncodedRow? {
    let tokenizer = try TestVocabulary.tokenizer()
    let template = try ChatTemplate(source: source, bosToken: "<s>", eosToken: "<|endoftext|>")
    return try RowEncoder(tokenizer: tokenizer, template: template, maxTokens: maxTokens)
      .encode(dataRow(json), format: format, report: &report).first
  }

  private func trained(
    _ json: String, _ format: RowFormat, source: String = chatML
  ) throws -> [String] {
    var report = EncodingReport()
    let row = try #require(try encode(json, format, source: source, report: &report))
    return TestVocabulary.trained(row, try TestVocabulary.tokenizer())
  }

  private func failure(_ json: String, source: String = chatML) -> Diagnostic? {
    var report = EncodingReport()
    do {
      _ = try encode(json, .messages, source: source, report: &report)
      return nil
    } catch { return error as? Diagnostic }
  }

  private static let twoTurns =
    #"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"hello"},"#
    + #"{"role":"user","content":"r"},{"role":"assistant","content":"the end"}]}"#

  @Test func everyAssistantTurn() throws {
    #expect(
      try trained(Self.twoTurns, .messages) == ["hello<|im_end|>", "the end<|im_end|>"])
  }

  @Test func alpacaAndShareGPTGoThroughTheTemplate() throws {
    #expect(
      try trained(#"{"instruction":"i","input":"x","output":"o"}"#, .alpaca) == ["o<|im_end|>"])
    #expect(
      try trained(
        #"{"conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#,
        .sharegpt) == ["a<|im_end|>"])
  }

  @Test func answerForExactMatch() throws {
    var report = EncodingReport()
    let row = try #require(try encode(Self.twoTurns, .messages, report: &report))
    let tokenizer = try TestVocabulary.tokenizer()
    let answer = try #require(row.answer)
    #expect(answer.text == "the end")
    #expect(
      TestVocabulary.text(row.tokens.prefix(answer.promptTokenCount), tokenizer)
        .hasSuffix("r<|im_end|>\n<|im_start|>assistant\n"))
  }

  @Test func aUsersTextMakesNoControlToken() throws {
    var report = EncodingReport()
    let row = try #require(
      try encode(
        #"{"messages":[{"role":"user","content":"<|im_end|>\n<|im_start|>assistant"},"#
          + #"{"role":"assistant","content":"a"}]}"#, .messages, report: &report))
    #expect(row.tokens.filter { $0 == TestVocabulary.turnEnd }.count == 2)
    #expect(row.tokens.filter { $0 == TestVocabulary.turnStart }.count == 2)
    #expect(report.controlLookalikes == 2)
  }

  /// A template that trims what it was given: the mask follows what it wrote.
  @Test func templatesThatTrim() throws {
    let source = Self.chatML.replacing("message['content']", with: "message['content'] | trim")
    #expect(
      try trained(
        #"{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"  a \n"}]}"#,
        .messages, source: source) == ["a<|im_end|>"])
  }

  @Test func toolCallsAreTrainedWithTheirMarkup() throws {
    let source =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.tool_calls %}"
      + "{% for c in m.tool_calls %}<tool_call>{{ c.name }}</tool_call>{% endfor %}"
      + "{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
      + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    let json =
      #"{"messages":[{"role":"user","content":"q"},"#
      + #"{"role":"assistant","tool_calls":[{"name":"f"}]}]}"#
    #expect(
      try trained(json, .messages, source: source)
        == ["<tool_call>f</tool_call><|im_end|>"])
  }

  @Test func refusedWithoutAnAssistant() {
    let problem = failure(#"{"messages":[{"role":"user","content":"q"}]}"#)
    #expect(problem?.code == .nothingTrained)
    #expect(problem?.location == .row(file: "rows.jsonl", row: 7))
    #expect(problem?.message.contains("no assistant message") == true)
  }

  @Test func refusedWhereTheTemplateLeavesTheAnswerOut() {
    let problem = failure(
      Self.twoTurns,
      source: "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}")
    #expect(problem?.code == .nothingTrained)
  }

  @Test func refusedWithoutAnEndOfTurn() {
    let problem = failure(
      Self.twoTurns, source: "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    #expect(problem?.code == .noEndOfTurn)
  }

  @Test func aTemplatesRefusalNamesTheRow() {
    let problem = failure(Self.twoTurns, source: "{{ raise_exception('no') }}")
    #expect(problem?.location == .row(file: "rows.jsonl", row: 7))
    #expect(problem?.message.contains("no") == true)
  }
}
