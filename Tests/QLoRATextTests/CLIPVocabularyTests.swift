// Tokenizers of CLIP from vocab.json and merges.txt against transformers.
import Foundation
import QLoRADiagnostics
import QLoRAText
import TestSupport
import Testing

@Suite struct CLIPVocabularyTests {
  private struct Case: Decodable {
    let text: String
    let tokenizer: [Int32]
    let tokenizer_2: [Int32]
  }

  private static let cases: [Case] = {
    let data = try? Data(contentsOf: Goldens.url("latents/ids.json"))
    return (try? JSONDecoder().decode([Case].self, from: data ?? Data())) ?? []
  }()

  /// The second takes "!" for its padding token, also inside of a text.
  @Test func idsAreThoseOfTransformers() throws {
    let first = try Tokenizer.loadForImages(folder: Goldens.path("latents/tokenizer"))
    let second = try Tokenizer.loadForImages(folder: Goldens.path("latents/tokenizer_2"))
    #expect(Self.cases.count > 10)
    for item in Self.cases {
      #expect(first.encode(item.text) == item.tokenizer, "\(item.text)")
      #expect(second.encode(item.text) == item.tokenizer_2, "\(item.text)")
    }
    #expect(first.padToken?.text == "<|endoftext|>" && second.padToken?.id == 0)
    #expect(first.eosToken?.id == 39 && first.bosToken?.id == 38)
  }

  @Test func otherTokenizersAreLoadedAsEver() throws {
    let folder = Goldens.path("latents/tokenizer_3")
    let found = try Tokenizer.loadForImages(folder: folder)
    #expect(found.encode("aba") == (try Tokenizer.load(folder: folder)).encode("aba"))
  }

  @Test(arguments: [
    ("merges.txt", nil, "E0301"), ("vocab.json", "[1]", "E0302"),
    ("vocab.json", #"{"a": 0}"#, "E0304"), ("merges.txt", "a zz\n", "E0302"),
    ("merges.txt", "a\n", "E0302"),
  ])
  func damagedFilesAreNamed(_ name: String, _ text: String?, _ code: String) throws {
    let folder = try TemporaryFolder()
    for file in ["vocab.json", "merges.txt", "special_tokens_map.json"] {
      try FileManager.default.copyItem(
        atPath: Goldens.path("latents/tokenizer/\(file)"), toPath: folder.path(file))
    }
    try FileManager.default.removeItem(atPath: folder.path(name))
    if let text { try Data(text.utf8).write(to: folder.url.appending(path: name)) }
    let error = #expect(throws: Diagnostic.self) {
      try Tokenizer.loadForImages(folder: folder.url.path(percentEncoded: false))
    }
    #expect("\(error?.code.number ?? "")" == code)
  }
}
