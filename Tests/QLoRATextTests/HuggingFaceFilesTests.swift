// From a GGUF vocabulary to the files of a Hugging Face folder and back: the same ids and names.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRAText
import Testing
import TestSupport

struct HuggingFaceFilesTests {
  /// Every byte, a few merges, control tokens, one token of a user, one that nothing makes.
  private func vocabulary(splitter: String) -> GGUFVocabulary {
    let alphabet = (0..<256).map { byte -> String in
      let plain = 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || 0xAE...0xFF ~= byte
      let others = (0..<byte).count { !(0x21...0x7E ~= $0 || 0xA1...0xAC ~= $0 || $0 >= 0xAE) }
      return Unicode.Scalar(UInt32(plain ? byte : 0x100 + others)).map { String($0) } ?? ""
    }
    let merges = ["h e", "l l", "he ll", "hell o", "Ġ t", "Ġt he", "1 2", "12 3", "Ã ©", "Ċ Ċ"]
    let controls = ["<|begin|>", "<|end|>", "<|pad|>", "<think>", "<|other|>", "[unused]"]
    let tokens = controls + alphabet + merges.map { $0.replacing(" ", with: "") }
    var types = [Int32](repeating: 1, count: tokens.count)
    types.replaceSubrange(0..<6, with: [3, 3, 3, 4, 3, 5])
    return GGUFVocabulary(
      tokens: tokens, tokenTypes: types, merges: merges, preTokenizer: splitter, bosID: 0,
      eosID: 1, padID: 2, chatTemplate: "{{ bos_token }}{{ messages[0].content }}\n\"é\"")
  }

  private func roundTrip(_ vocabulary: GGUFVocabulary) throws -> Tokenizer {
    let folder = try TemporaryFolder()
    for (name, contents) in try vocabulary.huggingFaceFiles(maxLength: 8192) {
      try Data(contents).write(to: folder.url.appending(path: name))
    }
    return try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
  }

  private let texts = [
    "", "hello", " the hello123 1234 x²", "é e\u{301} 東京 🙂", "<|end|><think>hello</think> <|pad|>",
    "a\n\n\nb  c\t", "<|begin|>\nHE'LL we'll", "[unused]<|other|", "12 3123 ٣٤", "\0\u{7F}\u{FEFF}",
  ]

  @Test(arguments: [
    "gpt-2", "smollm", "llama-bpe", "qwen2", "falcon", "deepseek-v3", "superbpe", "kimi-k2",
    "afmoe", "chameleon", "jais-2", "youtu", "laguna",
  ])
  func idsAndNamesComeBack(_ splitter: String) throws {
    let vocabulary = vocabulary(splitter: splitter)
    let (first, second) = (try Tokenizer(gguf: vocabulary), try roundTrip(vocabulary))
    var generator = SeededGenerator(seed: 1)
    let random = (0..<200).map { _ in
      (0..<6).map { _ in texts[Int.random(in: 0..<texts.count, using: &generator)] }.joined()
    }
    for text in texts + random {
      #expect(second.encode(text) == first.encode(text), "\(text.debugDescription)")
      let plain = first.encode(text, recognizesControlTokens: false)
      #expect(second.encode(text, recognizesControlTokens: false) == plain)
      #expect(second.decode(plain) == first.decode(plain))
    }
    #expect(second.vocabularyCount == first.vocabularyCount)
    for id in 0..<Int32(first.vocabularyCount) {
      #expect(second.isControl(id) == first.isControl(id))
      #expect(second.text(of: id) == first.text(of: id))
    }
    #expect(second.bosToken?.id == 0 && second.eosToken?.id == 1 && second.padToken?.id == 2)
    #expect(second.chatTemplateSource == vocabulary.chatTemplate)
  }

  @Test(arguments: [
    ("gpt-2", nil, false), ("gpt-2", true, true), ("llama-bpe", nil, true),
    ("llama-bpe", false, false),
  ] as [(String, Bool?, Bool)])
  func theBeginningTokenIsKept(_ splitter: String, _ adds: Bool?, _ expected: Bool) throws {
    var vocabulary = vocabulary(splitter: splitter)
    vocabulary.addBOS = adds
    #expect((try roundTrip(vocabulary).encode("x").first == 0) == expected)
  }

  /// Beginning and end are control tokens even where a converter called them ordinary; a filler
  /// that is an ordinary token stays one and is not named.
  @Test func namedTokensOfOrdinaryType() throws {
    var vocabulary = vocabulary(splitter: "gpt-2")
    vocabulary.tokenTypes[1] = 1
    vocabulary.padID = 6
    for tokenizer in [try Tokenizer(gguf: vocabulary), try roundTrip(vocabulary)] {
      #expect(tokenizer.encode("<|end|>") == [1] && tokenizer.isControl(1))
      #expect(!tokenizer.isControl(6))
    }
    #expect(try roundTrip(vocabulary).padToken == nil)
  }

  /// A JSON object can hold a text once; both tokenizers take the same of two equal tokens.
  @Test func equalTokens() throws {
    var vocabulary = vocabulary(splitter: "gpt-2")
    vocabulary.tokens.append("hello")
    vocabulary.tokenTypes.append(1)
    let first = try Tokenizer(gguf: vocabulary).encode("hello")
    #expect(first.count == 1)
    #expect(try roundTrip(vocabulary).encode("hello") == first)
  }

  @Test func filesNameWhatTransformersReads() throws {
    let files = try vocabulary(splitter: "qwen2").huggingFaceFiles(maxLength: 4096)
    #expect(files.map(\.name) == ["tokenizer.json", "tokenizer_config.json"])
    let (json, config) = (
      try JSONValue(parsing: files[0].contents), try JSONValue(parsing: files[1].contents)
    )
    #expect(json["normalizer"]?["type"] == "NFC")
    #expect(json["post_processor"]?["type"] == "ByteLevel")
    #expect(json["added_tokens"]?.arrayValue?.count == 5)
    #expect(config["tokenizer_class"] == "PreTrainedTokenizerFast")
    #expect(config["model_max_length"]?.intValue == 4096)
    #expect(config["eos_token"] == "<|end|>" && config["unk_token"] == nil)
  }

  @Test func aVocabularyThatContradictsItselfIsNotWritten() {
    var vocabulary = vocabulary(splitter: "gpt-2")
    vocabulary.merges.append("no token")
    let error = #expect(throws: Diagnostic.self) { try vocabulary.huggingFaceFiles(maxLength: 1) }
    #expect(error?.code == .tokenizerMalformed)
  }
}
