// Tokenizer folders as GGUF vocabularies: the name of the splitter, and the reference's ids.
import Foundation
import QLoRADiagnostics
import QLoRAText
import TestSupport
import Testing

struct GGUFVocabularyTests {
  private static let splitters = [
    "gpt2": "gpt-2", "smollm": "smollm", "llama3": "llama-bpe", "qwen2": "qwen2",
  ]

  /// A golden's folder, its tokenizer.json changed.
  private func copy(
    _ name: String, _ change: (inout [String: Any]) -> Void = { _ in }
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let from = Goldens.path("tokenizers/\(name)")
    for name in try FileManager.default.contentsOfDirectory(atPath: from) {
      try FileManager.default.copyItem(atPath: from + "/" + name, toPath: folder.path(name))
    }
    let path = folder.url.appending(path: "tokenizer.json")
    let data = try Data(contentsOf: path)
    var json = try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
    change(&json)
    try JSONSerialization.data(withJSONObject: json).write(to: path)
    return folder
  }

  /// Without what no GGUF file can say of added tokens.
  private static func plain(_ json: inout [String: Any]) {
    let added = json["added_tokens"] as? [[String: Any]] ?? []
    json["added_tokens"] = added.map { token in
      var token = token
      for key in ["lstrip", "rstrip", "single_word"] { token[key] = false }
      return token
    }
  }

  @Test(arguments: TokenizerGolden.names)
  func foldersKeepTheirIDs(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    let folder = try copy(name, Self.plain)
    let old = try Tokenizer.load(folder: folder.path(""))
    let count = old.vocabularyCount
    let vocabulary = try GGUFVocabulary(folder: folder.path(""), rows: count + 2)
    #expect(vocabulary.preTokenizer == Self.splitters[name])
    #expect(vocabulary.tokens.count == count + 2 && vocabulary.tokenTypes.count == count + 2)
    #expect(vocabulary.tokens[count] == "[PAD\(count)]" && vocabulary.tokenTypes[count] == 5)
    let again = try Tokenizer(gguf: vocabulary)
    let changed = ["<|tail|>", "<|head|>", "<|both|>", "word"]
    var unchanged = 0
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(
        again.encode(text, addSpecialTokens: true) == old.encode(text, addSpecialTokens: true))
      guard !changed.contains(where: { text.contains($0) }) else { continue }
      unchanged += 1
      #expect(again.encode(text) == ids, "\(text.debugDescription)")
    }
    #expect(unchanged > 200)
    for id in 0..<Int32(count) where !old.text(of: id).isEmpty {
      #expect(again.text(of: id) == old.text(of: id))
      #expect(again.isControl(id) == old.isControl(id))
    }
    #expect(again.chatTemplateSource == old.chatTemplateSource)
  }

  private func refusal(_ folder: String, rows: Int) -> DiagnosticCode? {
    #expect(throws: Diagnostic.self) { _ = try GGUFVocabulary(folder: folder, rows: rows) }?.code
  }

  /// Tokens that take blanks with them, a token after each text, more tokens than embeddings.
  @Test func whatAFileCannotSayIsRefused() throws {
    let golden = Goldens.path("tokenizers/gpt2")
    let count = try Tokenizer.load(folder: golden).vocabularyCount
    #expect(refusal(golden, rows: count) == .tokenizerUnsupported)
    let ending = try copy("gpt2") { json in
      Self.plain(&json)
      json["post_processor"] = [
        "type": "TemplateProcessing",
        "single": [["Sequence": ["id": "A"]], ["SpecialToken": ["id": "x"]]],
        "special_tokens": ["x": ["ids": [0]]],
      ]
    }
    #expect(refusal(ending.path(""), rows: count) == .tokenizerUnsupported)
    let plain = try copy("gpt2", Self.plain)
    #expect(refusal(plain.path(""), rows: count - 1) == .tokenizerMalformed)
  }
}
