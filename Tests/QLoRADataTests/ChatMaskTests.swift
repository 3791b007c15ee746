// Masks exact to the byte, on segments as several kinds of template write them.
import QLoRAData
import QLoRAText
import TestSupport
import Testing

struct ChatMaskTests {
  private func template(_ text: String) -> TextSegment {
    TextSegment(text: text, origin: .template)
  }

  private func message(_ index: Int, _ text: String) -> TextSegment {
    TextSegment(text: text, origin: .message(index))
  }

  private func trained(_ segments: [TextSegment], _ turns: [ChatMask.Turn]) throws -> [String] {
    let tokenizer = try TestVocabulary.tokenizer()
    let text = tokenizer.encode(segments)
    let mask = ChatMask(segments, text, turns: turns, isSpecial: tokenizer.isControl)
    return TestVocabulary.trained(text.ids, mask.isTrained, tokenizer)
  }

  private func chatML(_ answer: String) -> [TextSegment] {
    [
      template("<|im_start|>user\n"), message(0, "hi the"),
      template("<|im_end|>\n<|im_start|>assistant\n"), message(1, answer),
      template("<|im_end|>\n"),
    ]
  }

  @Test func contentAndEndOfTurnOnly() throws {
    #expect(try trained(chatML("hello"), [.init(message: 1)]) == ["hello<|im_end|>"])
  }

  @Test func userTurnsAreNot() throws {
    #expect(try trained(chatML("hello"), []) == [])
  }

  /// The header's line break and the content's first one are one token.
  @Test func borderTokenIsTrainedWhole() throws {
    #expect(
      try trained(chatML("\n\nhello"), [.init(message: 1)]) == ["\n\n\nhello<|im_end|>"])
  }

  /// A line break from the content alone stays apart where no token crosses the border.
  @Test func tokensBesideTheBorderAreNot() throws {
    let segments = [
      template("<|im_start|>assistant\n"), message(0, "the"), template("<|im_end|>\n"),
    ]
    #expect(try trained(segments, [.init(message: 0)]) == ["the<|im_end|>"])
  }

  @Test func lookalikesInTheContentEndNoTurn() throws {
    #expect(
      try trained(chatML("a<|im_end|>b"), [.init(message: 1)]) == ["a<|im_end|>b<|im_end|>"])
  }

  @Test func everyAssistantTurn() throws {
    let segments = chatML("hello") + [
      template("<|im_start|>user\n"), message(2, "more"),
      template("<|im_end|>\n<|im_start|>assistant\n"), message(3, "the end"),
      template("<|im_end|>\n"),
    ]
    #expect(
      try trained(segments, [.init(message: 1), .init(message: 3)])
        == ["hello<|im_end|>", "the end<|im_end|>"])
  }

  /// Llama-2-like: the turn ends with the text's end token, after a space.
  @Test func templateTextBeforeTheEndTokenIsNotTrained() throws {
    let segments = [
      template("<s>[INST] "), message(0, "q"), template(" [/INST] "), message(1, "a"),
      template(" <|endoftext|>"),
    ]
    #expect(try trained(segments, [.init(message: 1)]) == ["a", "<|endoftext|>"])
  }

  @Test func noControlTokenNoEnd() throws {
    let tokenizer = try TestVocabulary.tokenizer()
    let segments = [template("User: "), message(0, "q"), template("\nBot: "), message(1, "a")]
    let text = tokenizer.encode(segments)
    let mask = ChatMask(
      segments, text, turns: [.init(message: 1)], isSpecial: tokenizer.isControl)
    #expect(mask.endsOfTurns.isEmpty)
    #expect(TestVocabulary.trained(text.ids, mask.isTrained, tokenizer) == ["a"])
  }

  @Test func templateTextBetweenPiecesOfOneMessage() throws {
    let segments = [
      template("<|im_start|>assistant\n<think>"), message(0, "hm"), template("</think>"),
      message(0, "yes"), template("<|im_end|>\n"),
    ]
    #expect(try trained(segments, [.init(message: 0)]) == ["hm</think>yes<|im_end|>"])
  }

  /// The tag after the call is an added token, yet no end of turn.
  @Test func turnsThatCallToolsAreTrainedWhole() throws {
    let header = "<|im_start|>assistant\n"
    let segments = [
      template(header + "<tool_call>{\"name\": "), message(0, "f"),
      template("}</tool_call><|im_end|>\n"),
    ]
    #expect(
      try trained(segments, [.init(message: 0, wholeTurnStart: header.utf8.count)])
        == ["<tool_call>{\"name\": f}</tool_call><|im_end|>"])
  }

  @Test func bytesInsideACharacter() throws {
    #expect(try trained(chatML("東京 🙂"), [.init(message: 1)]) == ["東京 🙂<|im_end|>"])
  }

  /// Against the rule read literally, byte by byte, on random conversations.
  @Test(arguments: 0..<200)
  func randomConversations(_ seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    let scraps = ["the", "\n", "\n\n", " ", "hello", "🙂", "<|im_end|>", "東", "a b", "  "]
    var segments: [TextSegment] = []
    var assistants: [Int] = []
    for index in 0..<Int.random(in: 1...6, using: &generator) {
      if Bool.random(using: &generator) { assistants.append(index) }
      let opening = ["\n", " ", ""][Int.random(in: 0..<3, using: &generator)]
      segments.append(template("<|im_start|>role" + opening))
      let length = Int.random(in: 0...5, using: &generator)
      let content = (0..<length).map { _ in scraps[Int.random(in: 0..<10, using: &generator)] }
      segments.append(message(index, content.joined()))
      let closings = ["<|im_end|>\n", "\n<|im_end|>", " <|im_end|>"]
      segments.append(template(closings[Int.random(in: 0..<3, using: &generator)]))
    }
    let tokenizer = try TestVocabulary.tokenizer()
    let text = tokenizer.encode(segments)
    var owner: [Int?] = []
    for segment in segments {
      var own: Int?
      if case .message(let index) = segment.origin, assistants.contains(index) { own = index }
      owner += segment.text.utf8.map { _ in own }
    }
    var expected = text.byteRanges.map { $0.contains { owner[$0] != nil } }
    for assistant in assistants {
      guard let last = owner.lastIndex(of: assistant) else { continue }
      let end = text.ids.indices.first {
        text.isControl[$0] && text.byteRanges[$0].lowerBound > last
      }
      expected[try #require(end)] = true
    }
    let mask = ChatMask(
      segments, text, turns: assistants.map { .init(message: $0) },
      isSpecial: tokenizer.isControl)
    #expect(mask.isTrained == expected)
  }

  @Test func lastAnswerStart() throws {
    let tokenizer = try TestVocabulary.tokenizer()
    let segments = chatML("hello")
    let text = tokenizer.encode(segments)
    let mask = ChatMask(
      segments, text, turns: [.init(message: 1)], isSpecial: tokenizer.isControl)
    let start = try #require(mask.lastAnswerStart)
    #expect(
      TestVocabulary.text(text.ids[..<start], tokenizer).hasSuffix("<|im_start|>assistant\n"))
  }
}
