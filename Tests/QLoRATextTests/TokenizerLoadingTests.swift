// What a tokenizer refuses, and the smaller promises of its interface.
import Foundation
import QLoRADiagnostics
import QLoRAText
import Testing
import TestSupport

struct TokenizerLoadingTests {
  /// A copy of a golden tokenizer with one piece of its JSON replaced.
  private func failure(replacing old: String, by new: String) throws -> Diagnostic? {
    let folder = try TemporaryFolder()
    let source = try String(
      contentsOf: Goldens.url("tokenizers/gpt2/tokenizer.json"), encoding: .utf8)
    #expect(source.contains(old), "the test no longer changes anything")
    let changed = source.replacingOccurrences(of: old, with: new)
    try changed.write(toFile: folder.path("tokenizer.json"), atomically: true, encoding: .utf8)
    do {
      _ = try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
      return nil
    } catch {
      return error as? Diagnostic
    }
  }

  /// Its places grew by a quarter with every letter once, until there was no memory.
  @Test func aLongRunInAVocabularyTakesItsLength() throws {
    let run = String(repeating: "[", count: 2_000)
    let model = ###"{"type":"WordPiece","unk_token":"u","continuing_subword_prefix":"##","###
      + ###""max_input_chars_per_word":5000,"vocab":"###
      + ###"{"u":0,"a":1,"##\###(run)ab":2,"\###(run)":3}}"###
    let folder = try TemporaryFolder()
    try "{\"model\":\(model)}".write(
      toFile: folder.path("tokenizer.json"), atomically: true, encoding: .utf8)
    let tokenizer = try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    #expect(tokenizer.encode("a\(run)ab") == [1, 2])
    #expect(tokenizer.encode(run) == [3])
  }

  @Test(arguments: [
    (#""type":"BPE""#, #""type":"Unigram""#),
    (#""type":"BPE""#, #""type":"Syllables""#),
    (#""normalizer":null"#, #""normalizer":{"type":"Shouted"}"#),
    (#""normalizer":null"#, #""normalizer":{"type":"Sequence","normalizers":[{"type":"X"}]}"#),
    (#""normalizer":null"#,
      #""normalizer":{"type":"Replace","pattern":{"Regex":"(a"},"content":""}"#),
    (#""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"Sentences""#),
    (#""pre_tokenizer":{"type":"ByteLevel""#,
      #""pre_tokenizer":{"type":"Punctuation","behavior":"Doubled""#),
    (#""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"Rot13""#),
    (#""post_processor":null"#, #""post_processor":{"type":"Poetry"}"#),
  ])
  func unknownPartsAreRefused(_ old: String, _ new: String) throws {
    #expect(try failure(replacing: old, by: new)?.code == .tokenizerUnsupported)
  }

  /// Parts that byte-level vocabularies have seldom, and that once were refused.
  @Test(arguments: [
    (#""normalizer":null"#, #""normalizer":{"type":"Lowercase"}"#),
    (#""byte_fallback":false"#, #""byte_fallback":true"#),
    (#""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"Whitespace""#),
    (#""decoder":{"type":"ByteLevel""#,
      #""decoder":{"prefix":"@@","cleanup":true,"type":"WordPiece""#),
    (#""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#),
  ])
  func rarePartsAreTaken(_ old: String, _ new: String) throws {
    #expect(try failure(replacing: old, by: new) == nil)
  }

  /// Parts whose settings are missing or contradict each other.
  @Test(arguments: [
    (#""normalizer":null"#, #""normalizer":{"type":"Strip"}"#),
    (#""normalizer":null"#,
      #""normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}"#),
    (#""pre_tokenizer":{"type":"ByteLevel""#, #""pre_tokenizer":{"type":"FixedLength","length":0"#),
    (#""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"Strip","content":"ab""#),
    (#""post_processor":null"#,
      #""post_processor":{"type":"BertProcessing","sep":["x",1],"cls":["y"]}"#),
  ])
  func halfPartsAreRefused(_ old: String, _ new: String) throws {
    #expect(try failure(replacing: old, by: new)?.code == .tokenizerMalformed)
  }

  @Test(arguments: [
    (#""model":{"#, #""modell":{"#), (#""vocab":{"!":0,"#, #""vocab":{"!":"x","#),
    (#""vocab":{"!":0,"#, #""vocab":{"!":-1,"#), (#""vocab":{"!":0,"#, #""vocab":{"!":-0.5,"#),
    (#""merges":["#, #""merges":[17,"#), (#""merges":["#, #""merges":["a","#),
    (#""id":700"#, #""id":-1"#), (#""id":700"#, #""id":2000000000"#), (#"{"version""#, "{"),
  ])
  func contradictionsAreRefused(_ old: String, _ new: String) throws {
    #expect(try failure(replacing: old, by: new)?.code == .tokenizerMalformed)
  }

  @Test func aFolderWithoutTokenizerSaysSo() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: Diagnostic.self) {
      try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    }
    #expect(error?.code == .tokenizerMissing)
    #expect(error?.code.exitCode == .inputMissing)
  }

  @Test func aControlTokenOutsideTheVocabularyIsRefused() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      at: Goldens.url("tokenizers/gpt2/tokenizer.json"),
      to: folder.url.appending(path: "tokenizer.json"))
    try Data(#"{"eos_token": "<|gone|>"}"#.utf8)
      .write(to: folder.url.appending(path: "tokenizer_config.json"))
    let error = #expect(throws: Diagnostic.self) {
      try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    }
    #expect(error?.code == .controlTokenMissing)
  }

  @Test func aTemplateFileWinsOverTheConfiguration() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      at: Goldens.url("tokenizers/gpt2/tokenizer.json"),
      to: folder.url.appending(path: "tokenizer.json"))
    let config = #"{"chat_template": [{"name": "tool_use", "template": "t"}, "#
      + #"{"name": "default", "template": "d"}]}"#
    try Data(config.utf8).write(to: folder.url.appending(path: "tokenizer_config.json"))
    let path = folder.url.path(percentEncoded: false)
    #expect(try Tokenizer.load(folder: path).chatTemplateSource == "d")
    try Data("jinja".utf8).write(to: folder.url.appending(path: "chat_template.jinja"))
    #expect(try Tokenizer.load(folder: path).chatTemplateSource == "jinja")
  }

  @Test func namesAndIDsAgree() throws {
    let tokenizer = try TokenizerGolden("llama3").tokenizer
    #expect(tokenizer.bosToken?.text == "<|im_start|>")
    #expect(tokenizer.eosToken?.id == tokenizer.id(of: "<|im_end|>"))
    #expect(tokenizer.encode("", addSpecialTokens: true) == [tokenizer.bosToken?.id])
    #expect(tokenizer.encode("", addSpecialTokens: false).isEmpty)
    #expect(tokenizer.text(of: 999_999).isEmpty && tokenizer.text(of: -1).isEmpty)
    #expect(tokenizer.id(of: "no such token") == nil)
    #expect(tokenizer.decode([-1, 999_999]).isEmpty)
    for id in 0..<Int32(tokenizer.vocabularyCount) {
      #expect(tokenizer.id(of: tokenizer.text(of: id)) == id)
    }
  }

  @Test func ggufVocabulariesAreCheckedToo() {
    let tokens = ["a", "b", "ab", "<e>"]
    let good = GGUFVocabulary(
      tokens: tokens, tokenTypes: [1, 1, 1, 3], merges: ["a b"], preTokenizer: "gpt-2", eosID: 3)
    func code(_ change: (inout GGUFVocabulary) -> Void) -> DiagnosticCode? {
      var vocabulary = good
      change(&vocabulary)
      do {
        _ = try Tokenizer(gguf: vocabulary)
        return nil
      } catch {
        return (error as? Diagnostic)?.code
      }
    }
    #expect(code { _ in } == nil)
    #expect(code { $0.preTokenizer = "martian" } == .tokenizerUnsupported)
    #expect(code { $0.modelName = "llama" } == .tokenizerUnsupported)
    #expect(code { $0.merges = ["a  b"] } == .tokenizerMalformed)
    #expect(code { $0.merges = ["b a"] } == .tokenizerMalformed)
    #expect(code { $0.tokenTypes = [1] } == .tokenizerMalformed)
    #expect(code { $0.eosID = 4 } == .controlTokenMissing)
  }

  /// Merges are read in blocks; what a file spells with escapes, and what is wrong, one by one.
  @Test func mergesOfEverySpellingAreRead() throws {
    let letters = (0..<26).map { String(UnicodeScalar(UInt8(97 + $0))) } + ["\"", "\\", "é"]
    let pairs = letters.flatMap { left in letters.map { (left, $0) } }
    let tokens = letters + pairs.map { $0.0 + $0.1 }
    func quoted(_ text: String) -> String {
      let escaped = text.replacingOccurrences(of: "\\", with: "\\\\")
      return "\"" + escaped.replacingOccurrences(of: "\"", with: "\\\"") + "\""
    }
    func load(_ merges: [String]) throws -> Tokenizer {
      let vocabulary = tokens.enumerated().map { "\(quoted($0.element)): \($0.offset)" }
      let folder = try TemporaryFolder()
      let model = "{\"type\":\"BPE\",\n\"vocab\":{\(vocabulary.joined(separator: ",\n  "))},"
        + "\n\"merges\":[\n\(merges.joined(separator: ",\n"))\n]}"
      try "{\"model\":\(model)}".write(
        toFile: folder.path("tokenizer.json"), atomically: true, encoding: .utf8)
      return try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    }
    let spellings: [((String, String)) -> String] = [
      { quoted($0.0 + " " + $0.1) }, { "[\(quoted($0.0)), \(quoted($0.1))]" },
    ]
    for spelling in spellings {
      let tokenizer = try load(pairs.map(spelling))
      for (index, pair) in pairs.enumerated() {
        #expect(tokenizer.encode(pair.0 + pair.1) == [Int32(letters.count + index)])
      }
      var wrong = pairs
      wrong[500].1 = "ß"
      let error = #expect(throws: Diagnostic.self) { try load(wrong.map(spelling)) }
      #expect(error?.code == .tokenizerMalformed)
      #expect(error?.message.hasPrefix("merge 500 (") == true)
      // The vocabulary and what stands round it have as many lines as tokens, and two more.
      guard case .position(_, let line, _)? = error?.location else {
        Issue.record("no place")
        return
      }
      #expect(line == tokens.count + 1 + 2 + 500)
    }
  }

  /// Long words take another way through the merges than short ones, with the same result.
  @Test(arguments: TokenizerGolden.names)
  func longWordsMergeLikeShortOnes(_ name: String) throws {
    let tokenizer = try TokenizerGolden(name).tokenizer
    // Merges that meet no border give a long word the tokens of its repeated part.
    let long = tokenizer.encode(String(repeating: "wouldthere", count: 40), addSpecialTokens: false)
    let short = tokenizer.encode("wouldthere", addSpecialTokens: false)
    #expect(long == Array(repeatElement(short, count: 40).joined()))
  }

  @Test func anAddedTokenMayStandBetweenOthers() throws {
    let tokenizer = try TokenizerGolden("gpt2").tokenizer
    #expect(
      tokenizer.encode("<|im_end|>", recognizesControlTokens: false)
        != tokenizer.encode("<|im_end|>"))
  }
}
