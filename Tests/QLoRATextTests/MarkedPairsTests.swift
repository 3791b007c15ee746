// Vocabularies of pairs over characters with marks for spaces, as GGUF files of Gemma 4 have them.
import Foundation
import QLoRADiagnostics
import QLoRAText
import TestSupport
import Testing

struct MarkedPairsTests {
  /// Control tokens, all bytes, some letters and what they make.
  private func vocabulary(
    model: String = "gemma4", splitter: String = "default"
  ) -> GGUFVocabulary {
    let bytes = (0..<256).map { byte in
      let digits = String(byte, radix: 16, uppercase: true)
      return "<0x" + (digits.count < 2 ? "0" : "") + digits + ">"
    }
    let merges = ["a b", "▁ ab", "▁ a", "▁ ▁"]
    let tokens =
      ["<pad>", "<eos>", "<bos>", "<unk>"] + bytes
      + ["\n", "\n\n", "▁", "a", "b", "▁a", "ab", "▁ab", "▁▁"]
    var types = [Int32](repeating: 1, count: tokens.count)
    types.replaceSubrange(0..<4, with: [3, 3, 3, 2])
    types.replaceSubrange(4..<260, with: repeatElement(6, count: 256))
    return GGUFVocabulary(
      tokens: tokens, tokenTypes: types, merges: merges, preTokenizer: splitter, modelName: model,
      bosID: 2, eosID: 1, padID: 0, unknownID: 3, addBOS: false)
  }

  private func pieces(_ tokenizer: Tokenizer, _ text: String) -> [String] {
    tokenizer.encode(text, addSpecialTokens: false).map(tokenizer.text)
  }

  @Test(arguments: [("gemma4", "default"), ("gpt2", "gemma4")])
  func spacesAreMarksAndUnknownsBytes(_ model: String, _ splitter: String) throws {
    let tokenizer = try Tokenizer(gguf: vocabulary(model: model, splitter: splitter))
    #expect(pieces(tokenizer, " ab a  b") == ["▁ab", "▁a", "▁▁", "b"])
    #expect(pieces(tokenizer, "a\n\n\nb") == ["a", "\n\n", "\n", "b"])
    #expect(pieces(tokenizer, "é<eos>") == ["<0xC3>", "<0xA9>", "<eos>"])
    // Readers put the token there even where the file says no.
    #expect(tokenizer.encode("a") == [2, 263])
    for text in ["", " ab  é\n\n", "<bos>a", "\u{0}🙂 b"] {
      #expect(tokenizer.decode(tokenizer.encode(text, addSpecialTokens: false)) == text)
    }
  }

  @Test func aFolderGivesTheSameIDs() throws {
    let vocabulary = vocabulary()
    let folder = try TemporaryFolder()
    for (name, contents) in try vocabulary.huggingFaceFiles(maxLength: 64) {
      try Data(contents).write(to: folder.url.appending(path: name))
    }
    let first = try Tokenizer(gguf: vocabulary)
    let second = try Tokenizer.load(folder: folder.path(""))
    for text in [" ab a  b", "a\n\n\nb", "é<eos>", "東京🙂", "▁a ▁", "<0x41>", "\u{0}"] {
      #expect(first.encode(text) == second.encode(text), "\(text)")
      #expect(first.decode(first.encode(text)) == second.decode(second.encode(text)))
    }
  }

  @Test func whatIsMissingIsRefused() {
    var broken = vocabulary()
    broken.unknownID = 9_999
    let found = #expect(throws: Diagnostic.self) { _ = try Tokenizer(gguf: broken) }
    #expect(found?.code == .controlTokenMissing)
    broken = vocabulary()
    broken.merges.append("a ß")
    let other = #expect(throws: Diagnostic.self) { _ = try Tokenizer(gguf: broken) }
    #expect(other?.code == .tokenizerMalformed)
  }
}
