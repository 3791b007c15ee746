// Which messages are trained: the recipe's choice and the marks in rows.
import QLoRAData
import QLoRADiagnostics
import QLoRAText
import Testing

struct TrainedMessagesTests {
  private static let source =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    + "{{ '!' if 'weight' in m or 'train' in m }}<|im_end|>\n{% endfor %}"

  private func trained(
    _ messages: String, _ turns: TrainedTurns = .allAssistant, _ format: RowFormat = .messages
  ) throws -> [String] {
    let tokenizer = try TestVocabulary.tokenizer()
    let template = try ChatTemplate(
      source: Self.source, bosToken: "<s>", eosToken: "<|endoftext|>")
    let encoder = RowEncoder(
      tokenizer: tokenizer, template: template, maxTokens: 200, trainedTurns: turns)
    let key = format == .messages ? "messages" : "conversations"
    var report = EncodingReport()
    let rows = try encoder.encode(
      dataRow("{\"\(key)\":[\(messages)]}"), format: format, report: &report)
    return try rows.flatMap { TestVocabulary.trained($0, tokenizer) }
  }

  private func failure(_ messages: String, _ turns: TrainedTurns = .allAssistant) -> Diagnostic? {
    do {
      _ = try trained(messages, turns)
      return nil
    } catch { return error as? Diagnostic }
  }

  private static func turns(_ first: String, _ second: String) -> String {
    #"{"role":"user","content":"q"},{"role":"assistant","content":"a"\#(first)},"#
      + #"{"role":"user","content":"r"},{"role":"assistant","content":"b"\#(second)}"#
  }

  @Test(arguments: [
    ("", "", TrainedTurns.allAssistant, ["a<|im_end|>", "b<|im_end|>"]),
    ("", "", .lastAssistant, ["b<|im_end|>"]),
    (#","weight":0"#, "", .allAssistant, ["b<|im_end|>"]),
    (#","weight":0.0"#, #","weight":1"#, .allAssistant, ["b<|im_end|>"]),
    ("", #","train":false"#, .allAssistant, ["a<|im_end|>"]),
    (#","training":true"#, #","train":false"#, .lastAssistant, ["a<|im_end|>"]),
    (#","weight":null"#, "", .allAssistant, ["a<|im_end|>", "b<|im_end|>"]),
  ])
  func marks(
    _ first: String, _ second: String, _ turns: TrainedTurns, _ expected: [String]
  ) throws {
    // The template would write an exclamation mark if it saw one.
    #expect(try trained(Self.turns(first, second), turns) == expected)
  }

  @Test func shareGPTHasThemToo() throws {
    let turns =
      #"{"from":"human","value":"q"},{"from":"gpt","value":"a","train":false},"#
      + #"{"from":"human","value":"r"},{"from":"gpt","value":"b"}"#
    #expect(try trained(turns, .allAssistant, .sharegpt) == ["b<|im_end|>"])
  }

  @Test(arguments: [
    (#","weight":0.5"#, "messages[1].weight should be 0 or 1"),
    (#","weight":true"#, "messages[1].weight should be 0 or 1"),
    (#","train":1"#, "messages[1].train should be true or false"),
    (#","train":true,"weight":0"#, "messages[1] is marked as trained and as not trained"),
  ])
  func refused(_ mark: String, _ message: String) {
    let problem = failure(Self.turns(mark, ""))
    #expect(problem?.code == .rowShape)
    #expect(problem?.message == message)
    #expect(problem?.location == .row(file: "rows.jsonl", row: 7))
  }

  @Test func onlyTheAssistantIsTrained() {
    let problem = failure(
      #"{"role":"user","content":"q","weight":1},{"role":"assistant","content":"a"}"#)
    #expect(problem?.message.contains("only the assistant's are") == true)
  }

  @Test func nothingLeftToTrain() {
    let problem = failure(Self.turns(#","weight":0"#, #","weight":0"#))
    #expect(problem?.code == .nothingTrained)
    #expect(problem?.message.contains("every assistant message has weight 0") == true)
  }
}
