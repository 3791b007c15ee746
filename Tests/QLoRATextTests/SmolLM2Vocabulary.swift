// Reads the tokenizer keys of the SmolLM2 GGUF file where it is present, with just enough of the
// format for these tests; the product's own reader is QLoRAFormats'.
import Foundation
import QLoRAText
import TestSupport

enum SmolLM2Vocabulary {
  /// The base model that the quickstart fetches; QLORA_SMOLLM2_GGUF names another place.
  static let path =
    ProcessInfo.processInfo.environment["QLORA_SMOLLM2_GGUF"]
    ?? Goldens.repository.appending(path: "Models/SmolLM2-135M-Instruct.Q4_1.gguf")
    .path(percentEncoded: false)

  static var isPresent: Bool { FileManager.default.fileExists(atPath: path) }

  static func load() throws -> GGUFVocabulary {
    var reader = GGUFMetadataReader(
      data: try Data(contentsOf: URL(filePath: path), options: .mappedIfSafe))
    let values = reader.read()
    func id(_ key: String) -> Int32? { (values[key] as? Int).map { Int32($0) } }
    return GGUFVocabulary(
      tokens: values["tokenizer.ggml.tokens"] as? [String] ?? [],
      tokenTypes: (values["tokenizer.ggml.token_type"] as? [Int] ?? []).map { Int32($0) },
      merges: values["tokenizer.ggml.merges"] as? [String] ?? [],
      preTokenizer: values["tokenizer.ggml.pre"] as? String ?? "",
      modelName: values["tokenizer.ggml.model"] as? String ?? "",
      bosID: id("tokenizer.ggml.bos_token_id"), eosID: id("tokenizer.ggml.eos_token_id"),
      padID: id("tokenizer.ggml.padding_token_id"),
      unknownID: id("tokenizer.ggml.unknown_token_id"),
      addBOS: (values["tokenizer.ggml.add_bos_token"] as? Int).map { $0 != 0 },
      chatTemplate: values["tokenizer.chat_template"] as? String)
  }
}

private struct GGUFMetadataReader {
  let data: Data
  var offset = 8

  mutating func read() -> [String: Any] {
    _ = integer(8)
    let count = integer(8)
    var values: [String: Any] = [:]
    for _ in 0..<count {
      let key = string()
      values[key] = value(integer(4))
    }
    return values
  }

  private mutating func integer(_ bytes: Int) -> Int {
    defer { offset += bytes }
    return (0..<bytes).reduce(0) { $0 | Int(data[data.startIndex + offset + $1]) << (8 * $1) }
  }

  private mutating func string() -> String {
    let count = integer(8)
    defer { offset += count }
    return String(decoding: data[data.startIndex + offset..<data.startIndex + offset + count],
      as: UTF8.self)
  }

  private mutating func value(_ type: Int) -> Any {
    switch type {
    case 8: return string()
    case 9:
      let (element, count) = (integer(4), integer(8))
      if element == 8 { return (0..<count).map { _ in string() } }
      return (0..<count).map { _ in value(element) as? Int ?? 0 }
    default: return integer([1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8][type])
    }
  }
}
