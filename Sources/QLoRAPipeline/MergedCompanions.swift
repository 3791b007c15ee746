// The files beside a merged model's weights: configuration, tokenizer, template.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRASystem
import QLoRATensor
import QLoRAText

struct MergedCompanions {
  /// Copied as they are where the base is a folder.
  private static let copied = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model",
  ]

  private let source: ModelSource
  private let dtype: DType

  init(_ source: ModelSource, dtype: DType) {
    self.source = source
    self.dtype = dtype
  }

  func files() throws -> [(name: String, contents: [UInt8])] {
    switch source.origin {
    case .folder(let folder): try fromFolder(folder)
    case .gguf(let file): try fromGGUF(file)
    case .random: [("config.json", Self.file(source.config.huggingFaceJSON(dtype: dtype)))]
    }
  }

  private func fromFolder(_ folder: String) throws -> [(name: String, contents: [UInt8])] {
    let files = PosixFileSystem()
    var result: [(name: String, contents: [UInt8])] = []
    let config = try JSONValue(parsing: try files.readAll(FilePath.join(folder, "config.json")))
    // The merged weights are plain again, of the type that was asked for.
    let members = (config.objectMembers ?? []).filter {
      !["dtype", "torch_dtype", "quantization_config"].contains($0.key)
    }
    let plain = JSONValue.object(members + [JSONMember("dtype", .string(dtype.rawValue))])
    result.append(("config.json", Self.file(plain)))
    for name in Self.copied {
      let path = FilePath.join(folder, name)
      if try InputFile.openIfPresent(path) != nil {
        result.append((name, try files.readAll(path)))
      }
    }
    return result
  }

  private func fromGGUF(_ file: GGUFFile) throws -> [(name: String, contents: [UInt8])] {
    let config = source.config
    let vocabulary = try GGUFVocabulary(file)
    return [
      ("config.json", Self.file(config.huggingFaceJSON(dtype: dtype))),
      ("generation_config.json", Self.file(generation(vocabulary))),
    ] + (try vocabulary.huggingFaceFiles(maxLength: config.maxPositions))
  }

  /// Where generation begins and ends; everything else stays transformers' default, greedy search.
  private func generation(_ vocabulary: GGUFVocabulary) -> JSONValue {
    let ids: [(String, Int?)] = [
      ("bos_token_id", vocabulary.bosID.map(Int.init)),
      ("eos_token_id", vocabulary.eosID.map(Int.init)),
      ("pad_token_id", vocabulary.padID.map(Int.init)),
    ]
    return .dictionary(ids.compactMap { name, id in id.map { (name, .int($0)) } })
  }

  private static func file(_ json: JSONValue) -> [UInt8] {
    Array((JSONWriter.text(json, style: .indented) + "\n").utf8)
  }
}
