// The real base model's vocabulary against ids and text that transformers gave.
import Foundation
import QLoRAJSON
import QLoRAText
import Testing
import TestSupport

@Suite(.enabled(if: SmolLM2Vocabulary.isPresent, "the SmolLM2 GGUF file is not in Models/"))
struct SmolLM2Tests {
  let golden: JSONValue
  let tokenizer: Tokenizer

  init() throws {
    golden = try JSONValue(parsing: Array(Data(contentsOf: Goldens.url("smollm2.json"))))
    tokenizer = try Tokenizer(gguf: SmolLM2Vocabulary.load())
  }

  private func ids(_ value: JSONValue?) -> [Int32] {
    (value?.arrayValue ?? []).compactMap { $0.intValue.map { Int32($0) } }
  }

  @Test func textsHaveTheGoldenIDs() throws {
    let texts = try #require(golden["texts"]?.arrayValue)
    let expected = try #require(golden["ids"]?.arrayValue)
    for (text, wanted) in zip(texts, expected) {
      let text = try #require(text.stringValue)
      #expect(tokenizer.encode(text) == ids(wanted), "\(text.debugDescription)")
    }
  }

  @Test func passageHasTheGoldenIDsAndDecodesBack() throws {
    let passage = try #require(golden["passage"]?.stringValue)
    #expect(tokenizer.encode(passage) == ids(golden["passage_ids"]))
    #expect(tokenizer.decode(ids(golden["passage_ids"])) == passage)
  }

  @Test func chatsRenderToTheGoldenText() throws {
    let template = try ChatTemplate(
      source: #require(tokenizer.chatTemplateSource),
      bosToken: #require(tokenizer.bosToken?.text), eosToken: #require(tokenizer.eosToken?.text))
    let chats = try #require(golden["chats"]?.arrayValue)
    let expected = try #require(golden["chat_text"]?.arrayValue)
    for (chat, wanted) in zip(chats, expected) {
      let segments = try template.render(chat.arrayValue ?? [], addsGenerationPrompt: true)
      let text = segments.map(\.text).joined()
      #expect(text == wanted.stringValue)
      #expect(tokenizer.encode(segments).ids == tokenizer.encode(text))
    }
  }

  @Test func controlTokensAreNamed() {
    #expect(tokenizer.bosToken?.text == "<|im_start|>")
    #expect(tokenizer.eosToken?.id == 2)
    #expect(tokenizer.padToken?.id == 2)
    #expect(tokenizer.vocabularyCount == 49152)
    #expect(tokenizer.isControl(1))
    #expect(!tokenizer.isControl(17))
  }
}
