// An adapter of an image model in the naming of diffusers, whose `load_lora_weights` takes the file
// with its scale.
import QLoRAFormats
import QLoRAJSON
import QLoRATensor

enum DiffusersAdapter {
  static let weightsName = "pytorch_lora_weights.safetensors"
  /// Which part of a pipeline the tensors belong to.
  private static let part = "transformer."

  static func tensors(_ adapter: PEFTAdapter) -> [(name: String, tensor: Tensor)] {
    adapter.pairs.flatMap { pair in
      [
        (name: "\(part)\(pair.module).lora_A.weight", tensor: pair.a),
        (name: "\(part)\(pair.module).lora_B.weight", tensor: pair.b),
      ]
    }
  }

  /// The configuration as diffusers keeps it in the file: without it, alpha would be the rank.
  static func metadata(_ adapter: PEFTAdapter) -> [String: String] {
    let config = adapter.config
    func members<Value>(_ pattern: [String: Value], _ json: (Value) -> JSONValue) -> JSONValue {
      .dictionary(pattern.sorted { $0.key < $1.key }.map { ($0.key, json($0.value)) })
    }
    let values: [(String, JSONValue)] = [
      ("alpha_pattern", members(config.alphaPattern) { .double($0) }),
      ("lora_alpha", .double(config.alpha)), ("lora_dropout", .double(config.dropout)),
      ("r", .int(config.rank)), ("rank_pattern", members(config.rankPattern) { .int($0) }),
      ("target_modules", .list(adapter.pairs.map { .string($0.module) })),
      ("use_rslora", .bool(config.usesRankStabilizedScale)),
    ]
    let text = JSONWriter.text(.dictionary(values.map { (part + $0.0, $0.1) }))
    return SafetensorsWriter.defaultMetadata.merging(["lora_adapter_metadata": text]) { $1 }
  }
}
