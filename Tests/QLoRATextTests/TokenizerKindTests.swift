// Small committed tokenizers of every kind against the ids and texts of PyPI `tokenizers` and
// `sentencepiece`. Scripts/goldens/make_kind_goldens.py makes the files.
import Foundation
import QLoRAJSON
import QLoRAText
import TestSupport
import Testing

/// A committed tokenizer of some kind with its expected results.
struct KindGolden {
  static let names: [String] = {
    let folder = Goldens.path("kinds")
    return ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
  }()

  let folder: String
  let tokenizer: Tokenizer
  let texts: [String]
  let ids: [[Int32]]
  let decoded: [String]
  /// Control tokens are none of sentencepiece's business.
  let isPlain: Bool

  init(_ name: String) throws {
    folder = Goldens.path("kinds/\(name)")
    tokenizer = try Tokenizer.load(folder: folder)
    isPlain = name.hasPrefix("spm-")
    let data = try Data(contentsOf: Goldens.url("kinds/\(name)/golden.json"))
    let json = try JSONValue(parsing: Array(data))
    func strings(_ key: String) -> [String] {
      (json[key]?.arrayValue ?? []).compactMap(\.stringValue)
    }
    texts = strings("texts")
    decoded = strings("decoded")
    ids = (json["ids"]?.arrayValue ?? []).map { row in
      (row.arrayValue ?? []).compactMap { $0.intValue.map { Int32($0) } }
    }
  }

  func encode(_ text: String, by tokenizer: Tokenizer? = nil) -> [Int32] {
    (tokenizer ?? self.tokenizer).encode(
      text, addSpecialTokens: !isPlain, recognizesControlTokens: !isPlain)
  }
}

struct TokenizerKindTests {
  @Test func thereAreGoldensOfAllKinds() {
    #expect(KindGolden.names.count >= 27)
  }

  @Test(arguments: KindGolden.names)
  func idsEqualTheReference(_ name: String) throws {
    let golden = try KindGolden(name)
    #expect(golden.texts.count >= 130 && golden.ids.count == golden.texts.count)
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(golden.encode(text) == ids, "\(text.debugDescription)")
    }
  }

  @Test(arguments: KindGolden.names)
  func decodedTextEqualsTheReference(_ name: String) throws {
    let golden = try KindGolden(name)
    for (ids, expected) in zip(golden.ids, golden.decoded) {
      #expect(Array(golden.tokenizer.decode(ids).utf8) == Array(expected.utf8))
      var decoder = golden.tokenizer.makeStreamingDecoder()
      let streamed = ids.map { decoder.append($0) }.joined() + decoder.finish()
      #expect(Array(streamed.utf8) == Array(expected.utf8))
    }
  }

  /// Places of tokens go forward and stay inside the text, whatever was put in or left out.
  @Test(arguments: KindGolden.names)
  func byteRangesGoForward(_ name: String) throws {
    let golden = try KindGolden(name)
    for text in golden.texts {
      let encoded = golden.tokenizer.encode([TextSegment(text: text, origin: .message(0))])
      let plain = golden.tokenizer.encode(
        text, addSpecialTokens: false, recognizesControlTokens: false)
      #expect(encoded.ids == plain)
      #expect(!encoded.isControl.contains(true))
      var last = 0
      for range in encoded.byteRanges {
        #expect(range.lowerBound >= last && range.upperBound <= text.utf8.count)
        last = range.lowerBound
      }
    }
  }

  /// What a vocabulary spells as marks and bytes takes as many bytes of a text as it stands for.
  @Test(arguments: ["llama2", "mistral", "gemma", "spm-llama"])
  func rangesHoldTheTokensBytes(_ name: String) throws {
    let golden = try KindGolden(name)
    for text in golden.texts {
      let bytes = Array(text.utf8)
      let encoded = golden.tokenizer.encode([TextSegment(text: text, origin: .message(0))])
      for (index, (id, range)) in zip(encoded.ids, encoded.byteRanges).enumerated() {
        var spelled = Array(golden.tokenizer.bytes(of: id))
        // The mark before a text stands for nothing in it.
        if index == 0, spelled.first == 0x20, ![0x20, 0xE2].contains(bytes.first) {
          spelled.removeFirst()
        }
        let original = Array(bytes[range])
        // Spaces are spelled as marks, and marks decode to spaces.
        guard !spelled.contains(0x20) else { continue }
        #expect(original == spelled)
      }
    }
  }

  @Test func controlTokensOfMessagesStayText() throws {
    let tokenizer = try KindGolden("llama2").tokenizer
    let encoded = tokenizer.encode([
      TextSegment(text: "[INST]", origin: .template),
      TextSegment(text: " a [INST] b </s>", origin: .message(0)),
      TextSegment(text: "</s>", origin: .template),
    ])
    let controls = zip(encoded.ids, encoded.isControl).filter(\.1).map(\.0)
    #expect(controls == [tokenizer.id(of: "[INST]"), tokenizer.id(of: "</s>")])
    #expect(tokenizer.decode(encoded.ids).contains("a [INST] b </s>"))
  }

  /// The folder's files, `tokenizer.model` among them, as a GGUF vocabulary and back.
  @Test(arguments: ["spm-llama", "spm-gemma", "spm-unigram-bytes"])
  func piecesKeepTheirIDsInGGUF(_ name: String) throws {
    let golden = try KindGolden(name)
    let count = golden.tokenizer.vocabularyCount
    let vocabulary = try GGUFVocabulary(folder: golden.folder, rows: count)
    #expect(vocabulary.modelName == (name == "spm-unigram-bytes" ? "t5" : "llama"))
    let again = try Tokenizer(gguf: vocabulary)
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(golden.encode(text, by: again) == ids, "\(text.debugDescription)")
    }
    #expect(again.encode("", addSpecialTokens: true) == [again.bosToken?.id])
  }

  /// SentencePiece's pairs become merges of a tokenizer.json that gives the same ids.
  @Test func piecesBecomeMerges() throws {
    let golden = try KindGolden("spm-llama")
    let vocabulary = try GGUFVocabulary(
      folder: golden.folder, rows: golden.tokenizer.vocabularyCount)
    let folder = try TemporaryFolder()
    for (name, contents) in try vocabulary.huggingFaceFiles(maxLength: 8192) {
      try Data(contents).write(to: folder.url.appending(path: name))
    }
    let again = try Tokenizer.load(folder: folder.url.path(percentEncoded: false))
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(golden.encode(text, by: again) == ids, "\(text.debugDescription)")
    }
  }

  /// Converters write what begins a word with a mark, and what goes on without `##`.
  @Test func wordPiecesOfGGUF() throws {
    let golden = try KindGolden("bert")
    let tokens = (0..<Int32(golden.tokenizer.vocabularyCount)).map { id -> String in
      let text = golden.tokenizer.text(of: id)
      if text.hasPrefix("[") && text.hasSuffix("]") && text.utf8.count > 2 { return text }
      return text.hasPrefix("##") ? String(text.dropFirst(2)) : "\u{2581}" + text
    }
    var vocabulary = GGUFVocabulary(
      tokens: tokens, tokenTypes: tokens.map { $0.hasPrefix("[") && $0.utf8.count > 2 ? 3 : 1 },
      merges: [], preTokenizer: "default", modelName: "bert", unknownID: 1)
    vocabulary.classID = golden.tokenizer.id(of: "[CLS]")
    vocabulary.separatorID = golden.tokenizer.id(of: "[SEP]")
    let again = try Tokenizer(gguf: vocabulary)
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(again.encode(text) == ids, "\(text.debugDescription)")
    }
  }
}
