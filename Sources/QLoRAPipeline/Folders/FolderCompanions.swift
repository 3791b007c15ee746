// The files beside a written model's weights: configuration, tokenizer, template.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRASystem
import QLoRATensor
import QLoRAText

struct FolderCompanions {
  /// Copied as they are where the base is a folder.
  private static let copied = [
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
    "generation_config.json", "vocab.json", "merges.txt", "added_tokens.json", "tokenizer.model",
    "spiece.model", "vocab.txt", "chat_template.json", "preprocessor_config.json",
    "processor_config.json",
  ]

  let origin: ModelSource.Origin
  /// Of a model without a config.json of its own.
  let config: ModelConfig?
  /// The type of the unquantized weights; nil: what it was.
  let dtype: DType?
  /// The `quantization_config`, where weights are quantized.
  var quantization: JSONValue?
  /// Of a model that tells classes apart.
  var head: MergedHead?
  /// Whether the head is no longer tied to the embedding, as config.json may still say.
  var isUntied = false

  func files() throws -> [(name: String, contents: [UInt8])] {
    switch origin {
    case .folder(let folder): try fromFolder(folder)
    case .gguf(let file): try fromGGUF(file)
    case .random: config.map { [("config.json", made($0))] } ?? []
    }
  }

  private func fromFolder(_ folder: String) throws -> [(name: String, contents: [UInt8])] {
    var result: [(name: String, contents: [UInt8])] = []
    let config = try ModelConfig.json(configPath: FilePath.join(folder, "config.json"))
    // What is said of types and quantization is to be true of the weights as they are now.
    let changed = dtype == nil ? [] : ["dtype", "torch_dtype"]
    let members = (config.objectMembers ?? []).filter {
      !(changed + replaced).contains($0.key)
    }
    // Each member of a configuration of diffusers is an argument of its class.
    let type =
      config["_class_name"] != nil
      ? [] : dtype.map { [JSONMember("dtype", .string($0.rawValue))] } ?? []
    result.append(("config.json", Self.file(.object(members + type + added))))
    for name in Self.copied {
      if let file = try InputFile.openIfPresent(name, in: folder) {
        result.append((name, try file.wholeBytes(limit: Tokenizer.maximumFileBytes)))
      }
    }
    return result
  }

  private func fromGGUF(_ file: GGUFFile) throws -> [(name: String, contents: [UInt8])] {
    guard let config else { return [] }
    let vocabulary = try GGUFVocabulary(file)
    return [
      ("config.json", made(config)),
      ("generation_config.json", Self.file(generation(vocabulary))),
    ] + (try vocabulary.huggingFaceFiles(maxLength: config.maxPositions))
  }

  /// The config.json of a model that had none. Blocks of GGUF are read as float32.
  private func made(_ config: ModelConfig) -> [UInt8] {
    let members = config.huggingFaceJSON(dtype: dtype ?? .float32).objectMembers ?? []
    return Self.file(.object(members.filter { !replaced.contains($0.key) } + added))
  }

  private var added: [JSONMember] {
    (quantization.map { [JSONMember(QuantizationEntry.key, $0)] } ?? []) + (head?.members ?? [])
      + (isUntied ? [JSONMember(Self.tieKey, .bool(false))] : [])
  }

  private static let tieKey = "tie_word_embeddings"

  private var replaced: [String] {
    [QuantizationEntry.key] + (head?.members.map(\.key) ?? []) + (isUntied ? [Self.tieKey] : [])
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
