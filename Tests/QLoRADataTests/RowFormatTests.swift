// Each format's keys, and the errors for rows that lack them.
import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import Testing

struct RowFormatTests {
  private func turns(_ pairs: (String, String)...) -> [JSONValue] {
    pairs.map { .dictionary([("role", .string($0)), ("content", .string($1))]) }
  }

  @Test func messagesKeepTheirExtraKeys() throws {
    let row = try dataRow(
      #"{"messages":[{"role":"user","content":"q","name":"Z"}],"tools":[{"x":1}],"id":9}"#)
    guard case .conversation(let messages, let tools) = try RowFormat.messages.content(of: row)
    else { return #expect(Bool(false)) }
    #expect(messages[0]["name"]?.stringValue == "Z")
    #expect(tools?.arrayValue?.count == 1)
  }

  @Test func toolsAsText() throws {
    let row = try dataRow(
      #"{"messages":[{"role":"user","content":"q"}],"tools":"[{\"x\":1}]"}"#)
    guard case .conversation(_, let tools) = try RowFormat.messages.content(of: row)
    else { return #expect(Bool(false)) }
    #expect(tools?.arrayValue?.first?["x"]?.intValue == 1)
  }

  @Test func shareGPT() throws {
    let row = try dataRow(
      #"{"system":"s","conversations":[{"from":"human","value":"q"},{"from":"gpt","value":"a"}]}"#)
    #expect(
      try RowFormat.sharegpt.content(of: row)
        == .conversation(
          messages: turns(("system", "s"), ("user", "q"), ("assistant", "a")), tools: nil))
  }

  @Test(arguments: [
    (#"{"instruction":"i","input":"x","output":"o"}"#, "i\n\nx"),
    (#"{"instruction":"i","input":"","output":"o"}"#, "i"),
    (#"{"instruction":"i","input":null,"output":"o"}"#, "i"),
    (#"{"instruction":"i","output":"o"}"#, "i"),
  ])
  func alpaca(_ json: String, _ request: String) throws {
    #expect(
      try RowFormat.alpaca.content(of: dataRow(json))
        == .conversation(messages: turns(("user", request), ("assistant", "o")), tools: nil))
  }

  @Test func completionAndText() throws {
    let completion = try dataRow(#"{"prompt":"p","completion":"c"}"#)
    #expect(
      try RowFormat.promptCompletion.content(of: completion)
        == .completion(prompt: "p", completion: "c"))
    #expect(try RowFormat.text.content(of: dataRow(#"{"text":"t"}"#)) == .text("t"))
  }

  @Test(arguments: [
    (RowFormat.messages, "{}", "messages should be an array, found nothing"),
    (.messages, #"{"messages":[]}"#, "messages is empty"),
    (.messages, #"{"messages":["x"]}"#, "messages[0] should be an object, found a string"),
    (
      .messages, #"{"messages":[{"content":"x"}]}"#,
      "messages[0].role should be a string, found nothing"
    ),
    (
      .messages, #"{"messages":[{"role":"user","content":[1]}]}"#,
      "messages[0].content should be a string, found an array"
    ),
    (
      .messages, #"{"messages":[{"role":"user","content":"x"}],"tools":{}}"#,
      "tools should be an array, found an object"
    ),
    (
      .sharegpt, #"{"conversations":[{"from":"human"}]}"#,
      "conversations[0].value should be a string, found nothing"
    ),
    (.alpaca, #"{"instruction":"i"}"#, "output should be a string, found nothing"),
    (
      .alpaca, #"{"instruction":"i","input":3,"output":""}"#,
      "input should be a string, found a number"
    ),
    (.promptCompletion, #"{"prompt":"p"}"#, "completion should be a string, found nothing"),
    (.text, #"{"text":null}"#, "text should be a string, found null"),
  ] as [(RowFormat, String, String)])
  func refused(_ format: RowFormat, _ json: String, _ message: String) throws {
    let row = try dataRow(json)
    let problem = #expect(throws: Diagnostic.self) { try format.content(of: row) }
    #expect(problem?.code == .rowShape)
    #expect(problem?.message == message)
    #expect(problem?.location == .row(file: "rows.jsonl", row: 7))
  }

  @Test func unknownSpeaker() throws {
    let row = try dataRow(#"{"conversations":[{"from":"alien","value":"x"}]}"#)
    let problem = #expect(throws: Diagnostic.self) { try RowFormat.sharegpt.content(of: row) }
    #expect(problem?.message.contains("found \"alien\"") == true)
    #expect(problem?.message.contains("gpt, human") == true)
  }

  @Test func aTurnThatOnlyCallsToolsNeedsNoContent() throws {
    let row = try dataRow(
      #"{"messages":[{"role":"assistant","content":null,"tool_calls":[{}]}]}"#)
    #expect(throws: Never.self) { try RowFormat.messages.content(of: row) }
  }
}
