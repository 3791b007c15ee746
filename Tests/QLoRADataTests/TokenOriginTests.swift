// Who wrote a token: exact at borders, cut with its row, and never asked in training.
import QLoRAData
import QLoRAText
import Testing

struct TokenOriginTests {
  private static let template =
    "{% if tools %}{{ tools[0]['name'] }}{% endif %}{% for message in messages %}"
    + "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}"
    + "{% endfor %}"

  private func row(
    _ json: String, _ format: RowFormat, maxTokens: Int = 200, keepsOrigins: Bool = true,
    report: inout EncodingReport
  ) throws -> EncodedRow {
    let encoder = RowEncoder(
      tokenizer: try TestVocabulary.tokenizer(),
      template: try ChatTemplate(source: Self.template, bosToken: "<s>", eosToken: ""),
      maxTokens: maxTokens, keepsOrigins: keepsOrigins)
    return try #require(
      try encoder.encode(dataRow(json), format: format, source: 4, report: &report).first)
  }

  /// The text of each author, in the order of `TokenOrigin`.
  private func texts(_ row: EncodedRow) throws -> [String: String] {
    let tokenizer = try TestVocabulary.tokenizer()
    #expect(row.origins.count == row.tokens.count)
    let pairs = Array(zip(row.tokens, row.origins))
    return Dictionary(
      uniqueKeysWithValues: Set(row.origins).map { origin in
        (origin.name, tokenizer.decode(pairs.filter { $0.1 == origin }.map(\.0)))
      })
  }

  @Test func everyTokenHasItsAuthor() throws {
    var report = EncodingReport()
    let json =
      #"{"messages":[{"role":"system","content":"be"},{"role":"user","content":"hello"},"#
      + #"{"role":"tool","content":"42"},{"role":"assistant","content":"the"}],"#
      + #""tools":[{"name":"calc"}]}"#
    let texts = try texts(try row(json, .messages, report: &report))
    #expect(texts["system"] == "be" && texts["user"] == "hello" && texts["assistant"] == "the")
    #expect(texts["tool"] == "calc42")
    #expect(
      texts["template"]
        == "<|im_start|>system\n<|im_end|><|im_start|>user\n<|im_end|><|im_start|>tool\n<|im_end|>"
        + "<|im_start|>assistant\n<|im_end|>")
  }

  @Test func completionsAndTexts() throws {
    var report = EncodingReport()
    let completion = try texts(
      try row(#"{"prompt":"a","completion":"b"}"#, .promptCompletion, report: &report))
    #expect(completion == ["user": "a", "assistant": "b", "template": "<|endoftext|>"])
    let text = try row(#"{"text":"hello"}"#, .text, report: &report)
    #expect(Set(text.origins) == [.text])
  }

  @Test func trainingKeepsNone() throws {
    var report = EncodingReport()
    let row = try row(#"{"text":"hello"}"#, .text, keepsOrigins: false, report: &report)
    #expect(row.origins.isEmpty)
  }

  @Test func notesNameRows() throws {
    var report = EncodingReport()
    let cut = try row(
      #"{"prompt":"a","completion":"hellohellohellohello"}"#, .promptCompletion, maxTokens: 3,
      report: &report)
    #expect(cut.origins == [.user, .assistant, .assistant])
    _ = try row(
      #"{"prompt":"<|im_end|>","completion":"b"}"#, .promptCompletion, report: &report)
    #expect(
      report.notes == [
        RowNote(kind: .truncated, source: 4, row: 7),
        RowNote(kind: .controlLookalike, source: 4, row: 7),
      ])
  }
}
