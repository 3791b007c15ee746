// The splitters that GGUF files name: each is made, cuts where the models' own tokenizer.json cuts,
// and is found again for a folder.
import Foundation
import QLoRADiagnostics
import QLoRAText
import TestSupport
import Testing

struct GGUFSplitterTests {
  private static let names = """
    gpt-2 mpt olmo phi-2 jais trillion granite-docling jina-es jina-de jina-v2-es jina-v2-de
    jina-v1-en jina-v2-code roberta-bpe gigachat a.x-4.0 mellum modern-bert exaone4 smollm refact
    codeshell starcoder command-r cohere2_moe exaone minerva-7b mellum2 llama-bpe llama3 llama-v3
    falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano dbrx smaug-bpe chatglm-bpe glm4 qwen2
    deepseek-r1-qwen f2llmv2 stablelm2 hunyuan megrez kormo openpangu grok-2 solar-open tekken
    gpt-4o llama4 kanana2 minimax-m2 falcon default deepseek-llm deepseek-coder deepseek-v3
    hunyuan-dense joyai-llm hy_v4 bloom gpt3-finnish poro-chat viking qwen35 bailingmoe bailingmoe2
    llada-moe seed-coder exaone-moe minicpm5 tiny_aya superbpe kimi-k2 afmoe
    chameleon jais-2 youtu laguna
    """.split { $0.isWhitespace }.map(String.init)

  private static let alphabet: [String] = (0..<256).map { byte in
    let isPlain = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
    if isPlain { return String(UnicodeScalar(UInt8(byte))) }
    let before = (0..<byte).count { value in
      !((0x21...0x7E).contains(value) || (0xA1...0xAC).contains(value) || value >= 0xAE)
    }
    return String(UnicodeScalar(UInt32(256 + before)) ?? "?")
  }

  /// A vocabulary of bytes in which `word` and all its beginnings are tokens.
  private func tokenizer(_ name: String, words: [String] = []) throws -> Tokenizer {
    var tokens = Self.alphabet
    var merges: [String] = []
    for word in words {
      let letters = word.utf8.map { Self.alphabet[Int($0)] }
      for count in 1..<letters.count {
        let left = letters[..<count].joined()
        if !tokens.contains(left + letters[count]) { tokens.append(left + letters[count]) }
        merges.append(left + " " + letters[count])
      }
    }
    return try Tokenizer(
      gguf: GGUFVocabulary(tokens: tokens, merges: merges, preTokenizer: name))
  }

  @Test(arguments: names)
  func everyNameIsKnown(_ name: String) throws {
    let tokenizer = try tokenizer(name)
    let text = "It's 12345 (東京, カナ) naïve\r\n  x+=1; مرحبا  \n"
    #expect(tokenizer.decode(tokenizer.encode(text)) == text)
  }

  @Test func anUnknownNameIsRefused() {
    let found = #expect(throws: Diagnostic.self) { _ = try tokenizer("no-such-splitter") }
    #expect(found?.code == .tokenizerUnsupported)
  }

  /// A text whose beginnings are all tokens is cut where the splitter cuts it.
  @Test(arguments: [
    ("deepseek-v3", "12345", ["123", "45"]), ("deepseek-v3", "a東b", ["a", "東", "b"]),
    ("deepseek-v3", ".net", [".net"]), ("gpt-2", ".net", [".", "net"]),
    ("deepseek-llm", "12345", ["12345"]), ("deepseek-llm", "a\n", ["a", "\n"]),
    ("deepseek-coder", "12", ["1", "2"]), ("deepseek-coder", "a东", ["a", "东"]),
    ("falcon", "12345", ["123", "45"]), ("falcon", "a,b", ["a", ",", "b"]),
    ("roberta-bpe", "a1", ["a", "1"]), ("bloom", "ab,c", ["ab", ",", "c"]),
    ("viking", "ab12", ["ab", "1", "2"]), ("qwen35", "e\u{301}x", ["\u{e9}x"]),
    ("bailingmoe", "a\n\n", ["a", "\n", "\n"]), ("minicpm5", "1234", ["123", "4"]),
    ("superbpe", "1234567", ["1", "234", "567"]), ("tiny_aya", "1234567", ["1", "234", "567"]),
    ("exaone-moe", "a b", ["a b"]), ("seed-coder", ";\n", [";", "\n"]),
    ("kimi-k2", "a東b", ["a", "東", "b"]), ("kimi-k2", "1234", ["123", "4"]),
    ("kimi-k2", "x/\n", ["x", "/\n"]), ("afmoe", "1234567", ["1", "234", "567"]),
    ("afmoe", "a中b", ["a", "中", "b"]), ("afmoe", ".net", [".net"]),
    ("chameleon", "a1,", ["a", "1", ","]), ("chameleon", "a\tb", ["a", "\t", "b"]),
    ("jais-2", "a    b", ["a", "  ", " ", " b"]), ("youtu", "12", ["1", "2"]),
    ("youtu", "ab한", ["ab", "한"]), ("youtu", "We're", ["We're"]),
    ("laguna", "a\n\nb", ["a", "\n\n", "b"]), ("laguna", ";\n", [";", "\n"]),
  ])
  func cutsWhereItShould(_ name: String, _ text: String, _ words: [String]) throws {
    let whole = words.joined()
    let tokenizer = try tokenizer(name, words: [whole] + words.filter { $0.utf8.count > 1 })
    let ids = tokenizer.encode(text)
    let found = ids.map { tokenizer.decode([$0]) }
    #expect(found == words, "\(name)")
  }

  /// DeepSeek's own settings are known by their name.
  @Test func aFolderGetsItsName() throws {
    let folder = try TemporaryFolder()
    let source = try String(
      contentsOf: Goldens.url("tokenizers/llama3/tokenizer.json"), encoding: .utf8)
    var json = try #require(
      JSONSerialization.jsonObject(with: Data(source.utf8)) as? [String: Any])
    let expressions = [
      #"\p{N}{1,3}"#, "[一-龥\u{3040}-ゟ゠-ヿ]+",
      ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##
        + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
        + "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ]
    let splits: [[String: Any]] = expressions.map {
      ["type": "Split", "pattern": ["Regex": $0], "behavior": "Isolated", "invert": false]
    }
    let spelled: [String: Any] = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
    ]
    json["pre_tokenizer"] = ["type": "Sequence", "pretokenizers": splits + [spelled]]
    var model = try #require(json["model"] as? [String: Any])
    model["ignore_merges"] = false
    json["model"] = model
    json["added_tokens"] = []
    json["post_processor"] = nil
    json["normalizer"] = NSNull()
    try JSONSerialization.data(withJSONObject: json)
      .write(to: folder.url.appending(path: "tokenizer.json"))
    let count = try Tokenizer.load(folder: folder.path("")).vocabularyCount
    let vocabulary = try GGUFVocabulary(folder: folder.path(""), rows: count)
    #expect(vocabulary.preTokenizer == "deepseek-v3")
  }
}
