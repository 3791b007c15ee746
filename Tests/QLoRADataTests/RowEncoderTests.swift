// Completions and plain text: labels, ends, cutting, and what is refused.
import QLoRAData
import QLoRADiagnostics
import QLoRAText
import Testing

struct RowEncoderTests {
  private let tokenizer: Tokenizer

  init() throws { tokenizer = try TestVocabulary.tokenizer() }

  private func encode(
    _ json: String, _ format: RowFormat, maxTokens: Int = 64, overLength: OverLength = .truncate,
    with other: Tokenizer? = nil, report: inout EncodingReport
  ) throws -> [EncodedRow] {
    try RowEncoder(
      tokenizer: other ?? tokenizer, template: nil, maxTokens: maxTokens, overLength: overLength
    ).encode(dataRow(json), format: format, report: &report)
  }

  private func encode(
    _ json: String, _ format: RowFormat, maxTokens: Int = 64, overLength: OverLength = .truncate,
    with other: Tokenizer? = nil
  ) throws -> [EncodedRow] {
    var report = EncodingReport()
    return try encode(
      json, format, maxTokens: maxTokens, overLength: overLength, with: other, report: &report)
  }

  @Test func completionAndEndAreTrained() throws {
    let row = try #require(
      encode(#"{"prompt":"the ","completion":"hello"}"#, .promptCompletion).first)
    #expect(TestVocabulary.trained(row, tokenizer) == ["hello<|endoftext|>"])
    #expect(TestVocabulary.text(row.tokens, tokenizer) == "the hello<|endoftext|>")
    let answer = try #require(row.answer)
    #expect(answer.text == "hello")
    #expect(TestVocabulary.text(row.tokens.prefix(answer.promptTokenCount), tokenizer) == "the ")
  }

  /// " the" is one token, of which the prompt has the space.
  @Test func completionBorderTokenIsTrained() throws {
    let row = try #require(
      encode(#"{"prompt":"q ","completion":"the"}"#, .promptCompletion).first)
    #expect(TestVocabulary.trained(row, tokenizer) == [" the<|endoftext|>"])
    #expect(row.answer?.promptTokenCount == 1)
  }

  @Test func controlTokensInCompletionsStayText() throws {
    var report = EncodingReport()
    let row = try #require(
      encode(
        #"{"prompt":"a<|im_end|>","completion":"<|im_start|>b<|endoftext|>"}"#,
        .promptCompletion, report: &report
      ).first)
    #expect(row.tokens.filter { $0 <= 4 } == [TestVocabulary.endOfText])
    #expect(report.controlLookalikes == 3)
  }

  @Test func beginningTokenWhereTheTokenizerAddsOne() throws {
    let other = try TestVocabulary.tokenizer(addsBeginning: true)
    let row = try #require(
      encode(#"{"prompt":"","completion":"hello"}"#, .promptCompletion, with: other).first)
    #expect(TestVocabulary.text(row.tokens, other) == "<s>hello<|endoftext|>")
    #expect(TestVocabulary.trained(row, other) == ["hello<|endoftext|>"])
    let text = try #require(encode(#"{"text":"hello"}"#, .text, with: other).first)
    #expect(TestVocabulary.text(text.tokens, other) == "<s>hello<|endoftext|>")
  }

  @Test func completionWithoutAnEndTokenIsRefused() throws {
    let other = try TestVocabulary.tokenizer(hasEnd: false)
    let problem = #expect(throws: Diagnostic.self) {
      try encode(#"{"prompt":"p","completion":"c"}"#, .promptCompletion, with: other)
    }
    #expect(problem?.code == .noEndOfTurn)
    #expect(problem?.location == .row(file: "rows.jsonl", row: 7))
  }

  @Test func textIsAllTrainedButItsFirstToken() throws {
    let row = try #require(encode(#"{"text":"hello the"}"#, .text).first)
    #expect(TestVocabulary.trained(row, tokenizer) == [" the<|endoftext|>"])
    #expect(row.labels[0] == untrainedLabel)
    #expect(row.answer == nil)
  }

  @Test func textRecognisesControlTokens() throws {
    let row = try #require(encode(#"{"text":"<|im_start|>a<|im_end|>"}"#, .text).first)
    #expect(row.tokens.count == 4)
    #expect(row.tokens.first == TestVocabulary.turnStart)
  }

  @Test func textThatEndsWithItsEndTokenGetsNoSecond() throws {
    let row = try #require(encode(#"{"text":"ab<|endoftext|>"}"#, .text).first)
    #expect(row.tokens.filter { $0 == TestVocabulary.endOfText }.count == 1)
  }

  @Test func longTextIsCutIntoConsecutiveRows() throws {
    var report = EncodingReport()
    let rows = try encode(#"{"text":"abcdefghij"}"#, .text, maxTokens: 4, report: &report)
    #expect(rows.map(\.tokens.count) == [4, 4, 3])
    #expect(
      TestVocabulary.text(rows.flatMap(\.tokens), tokenizer) == "abcdefghij<|endoftext|>")
    #expect(rows.allSatisfy { $0.labels[0] == untrainedLabel && $0.labelledTokenCount > 1 })
    #expect(report.rows == 1 && report.encodedRows == 3 && report.truncated == 0)
    #expect(report.tokens == 11 && report.labelledTokens == 8)
  }

  @Test func emptyTextIsRefused() throws {
    let problem = #expect(throws: Diagnostic.self) { try encode(#"{"text":""}"#, .text) }
    #expect(problem?.code == .nothingTrained)
  }

  @Test func truncation() throws {
    var report = EncodingReport()
    let long = #"{"prompt":"abc","completion":"defghij"}"#
    let rows = try encode(long, .promptCompletion, maxTokens: 5, report: &report)
    #expect(TestVocabulary.trained(try #require(rows.first), tokenizer) == ["de"])
    #expect(report.truncated == 1 && report.dropped == 0)
    // Cut before anything trained: dropped, not kept for nothing.
    #expect(try encode(long, .promptCompletion, maxTokens: 3, report: &report).isEmpty)
    #expect(report.truncated == 1 && report.dropped == 1)
  }

  @Test func droppingAndRefusingLongRows() throws {
    var report = EncodingReport()
    let long = #"{"prompt":"abc","completion":"defghij"}"#
    #expect(
      try encode(long, .promptCompletion, maxTokens: 5, overLength: .drop, report: &report)
        .isEmpty)
    #expect(report.dropped == 1 && report.rows == 1 && report.tokens == 0)
    let problem = #expect(throws: Diagnostic.self) {
      try encode(long, .promptCompletion, maxTokens: 5, overLength: .error)
    }
    #expect(problem?.code == .rowTooLong)
    #expect(problem?.message == "11 tokens, but data.maxTokens is 5")
  }

  @Test func conversationsNeedATemplate() throws {
    let problem = #expect(throws: Diagnostic.self) {
      try encode(#"{"instruction":"i","output":"o"}"#, .alpaca)
    }
    #expect(problem?.code == .chatTemplateMissing)
  }
}
