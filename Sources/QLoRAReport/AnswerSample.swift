// `samples.jsonl`: what the base and the trained model answer to a few validation prompts.
import QLoRAJSON

package struct AnswerSample: Sendable, Equatable {
  package static let fileName = "samples.jsonl"

  /// Such as `validation.jsonl:3`.
  package var row: String
  package var prompt: String
  package var expected: String
  package var base: String
  package var trained: String

  package init(row: String, prompt: String, expected: String, base: String, trained: String) {
    self.row = row
    self.prompt = prompt
    self.expected = expected
    self.base = base
    self.trained = trained
  }

  package var json: JSONValue {
    .dictionary([
      ("row", .string(row)), ("prompt", .string(prompt)), ("expected", .string(expected)),
      ("base", .string(base)), ("trained", .string(trained)),
    ])
  }

  init?(json: JSONValue) {
    guard let row = json["row"]?.stringValue, let prompt = json["prompt"]?.stringValue,
      let expected = json["expected"]?.stringValue, let base = json["base"]?.stringValue,
      let trained = json["trained"]?.stringValue
    else { return nil }
    self.init(row: row, prompt: prompt, expected: expected, base: base, trained: trained)
  }

  /// Lines that are none of ours are passed over.
  static func list(_ bytes: [UInt8]) -> [AnswerSample] {
    bytes.split(separator: UInt8(ascii: "\n")).compactMap { line in
      (try? JSONValue(parsing: line)).flatMap(AnswerSample.init(json:))
    }
  }

  package static func fileBytes(_ samples: [AnswerSample]) -> [UInt8] {
    Array(samples.map { JSONWriter.text($0.json) + "\n" }.joined().utf8)
  }
}
