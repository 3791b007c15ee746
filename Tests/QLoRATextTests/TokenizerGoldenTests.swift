// Small committed tokenizers, one per splitter, against the ids of PyPI `tokenizers`.
// Scripts/goldens/make_tokenizer_goldens.py makes the files.
import Foundation
import QLoRAJSON
import QLoRAText
import Testing
import TestSupport

/// A committed tokenizer with its expected results.
struct TokenizerGolden {
  static let names = ["gpt2", "smollm", "llama3", "qwen2"]

  let tokenizer: Tokenizer
  let texts: [String]
  let ids: [[Int32]]
  let decoded: [String]
  let decodedWithoutControl: [String]

  init(_ name: String) throws {
    tokenizer = try Tokenizer.load(folder: Goldens.path("tokenizers/\(name)"))
    let data = try Data(contentsOf: Goldens.url("tokenizers/\(name)/golden.json"))
    let json = try JSONValue(parsing: Array(data))
    func strings(_ key: String) -> [String] {
      (json[key]?.arrayValue ?? []).compactMap(\.stringValue)
    }
    texts = strings("texts")
    decoded = strings("decoded")
    decodedWithoutControl = strings("decodedWithoutControl")
    ids = (json["ids"]?.arrayValue ?? []).map { row in
      (row.arrayValue ?? []).compactMap { $0.intValue.map { Int32($0) } }
    }
  }
}

struct TokenizerGoldenTests {
  @Test(arguments: TokenizerGolden.names)
  func idsEqualTheReference(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    #expect(golden.texts.count >= 300)
    for (text, ids) in zip(golden.texts, golden.ids) {
      #expect(golden.tokenizer.encode(text) == ids, "\(text.debugDescription)")
    }
  }

  @Test(arguments: TokenizerGolden.names)
  func decodedTextEqualsTheReference(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    for (index, ids) in golden.ids.enumerated() {
      let text = golden.tokenizer.decode(ids)
      #expect(Array(text.utf8) == Array(golden.decoded[index].utf8))
      let plain = golden.tokenizer.decode(ids, skipsControlTokens: true)
      #expect(Array(plain.utf8) == Array(golden.decodedWithoutControl[index].utf8))
    }
  }

  @Test(arguments: TokenizerGolden.names)
  func streamedTextEqualsTextDecodedAtOnce(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    for ids in golden.ids {
      var decoder = golden.tokenizer.makeStreamingDecoder()
      var text = ""
      for id in ids {
        let piece = decoder.append(id)
        #expect(!piece.unicodeScalars.contains("\u{FFFD}"))
        text += piece
      }
      text += decoder.finish()
      #expect(Array(text.utf8) == Array(golden.tokenizer.decode(ids).utf8))
    }
  }

  /// Ranges are in order, touch, and cover the text: a label mask built on them misses no byte.
  @Test(arguments: TokenizerGolden.names)
  func byteRangesCoverTheText(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    for text in golden.texts where !text.isEmpty {
      let encoded = golden.tokenizer.encode([TextSegment(text: text, origin: .template)])
      #expect(encoded.ids == golden.tokenizer.encode(text, addSpecialTokens: false))
      #expect(encoded.byteRanges.count == encoded.ids.count)
      #expect(encoded.isControl.count == encoded.ids.count)
      #expect(encoded.byteRanges.first?.lowerBound == 0)
      #expect(encoded.byteRanges.last?.upperBound == text.utf8.count)
      // Tokens that share the bytes of one composed character all have its range.
      for (one, next) in zip(encoded.byteRanges, encoded.byteRanges.dropFirst()) {
        #expect(one.upperBound == next.lowerBound || one == next || one.overlaps(next),
          "\(text.debugDescription)")
        #expect(one.lowerBound <= next.lowerBound && one.upperBound <= next.upperBound)
      }
    }
  }

  /// Without composition a token's range holds exactly the bytes it decodes to.
  @Test(arguments: ["gpt2", "smollm", "llama3"])
  func rangesHoldTheTokensBytes(_ name: String) throws {
    let golden = try TokenizerGolden(name)
    for text in golden.texts {
      let bytes = Array(text.utf8)
      let encoded = golden.tokenizer.encode([TextSegment(text: text, origin: .message(0))])
      for (id, range) in zip(encoded.ids, encoded.byteRanges) {
        #expect(Array(golden.tokenizer.bytes(of: id)) == Array(bytes[range]))
      }
      #expect(!encoded.isControl.contains(true))
    }
  }
}
