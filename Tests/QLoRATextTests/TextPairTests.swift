// One text and two with what belongs round them, cut and uncut, against PyPI tokenizers.
import Foundation
import QLoRAJSON
import TestSupport
import Testing

import QLoRAText

@Suite struct TextPairTests {
  @Test(arguments: ["bert", "roberta", "llama", "qwen2"])
  func equalTheReference(name: String) throws {
    let folder = "classifiers/\(name)"
    let tokenizer = try Tokenizer.load(folder: Goldens.path(folder))
    let file = try Data(contentsOf: Goldens.url("\(folder)/encodings.json"))
    let cases = try JSONValue(parsing: [UInt8](file))
    let all = try #require(cases.arrayValue)
    #expect(all.count == 28)
    for entry in all {
      let text = try #require(entry["text"]?.stringValue)
      let limit = try #require(entry["limit"]?.intValue)
      let found = tokenizer.encode(text, entry["pair"]?.stringValue, limit: limit)
      #expect(
        found.ids.map(Int.init) == entry["ids"]?.arrayValue?.compactMap(\.intValue),
        "\(text) + \(entry["pair"]?.stringValue ?? "nothing") in \(limit)")
      #expect((found.secondStart == nil) == (entry["pair"]?.stringValue == nil))
    }
  }
}
