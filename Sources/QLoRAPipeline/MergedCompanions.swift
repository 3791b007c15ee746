// The files beside a merged model's weights: configuration, tokenizer, template.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRASystem
import QLoRATensor

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
    result.append(("config.json", Array((JSONWriter.text(plain, style: .indented) + "\n").utf8)))
    for name in Self.copied {
      let path = FilePath.join(folder, name)
      if try InputFile.openIfPresent(path) != nil {
        result.append((name, try files.readAll(path)))
      }
    }
    return result
  }

  private func fromGGUF(_ file: GGUFFile) throws -> [(name: String, contents: [UInt8])] {
    let config = JSONWriter.text(source.config.huggingFaceJSON(dtype: dtype), style: .indented)
    return [("config.json", Array((config + "\n").utf8))]
  }
}
