// A merged model as a Hugging Face folder, written one piece at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRATensor

struct MergedFolder {
  let weights: MergedWeights
  let source: ModelSource
  let dtype: DType
  let shardBytes: Int
  /// nil of a language model.
  var head: MergedHead?

  /// Writes the folder in one piece: it appears complete or not at all.
  func write(to output: String) throws {
    // The small files first: what they refuse should not come after gigabytes were written.
    let writer = FolderWriter(
      shardBytes: shardBytes, origin: source.path,
      companions: try FolderCompanions(
        origin: source.origin, config: source.config, dtype: dtype, head: head,
        isUntied: source.isUntied
      ).files())
    let own = try weights.names.filter { head?.replaces($0) != true }
      .map { weights.tensors($0, try weights.shape(of: $0), as: dtype) }
    try writer.write(
      own + (head?.tensors(as: dtype, on: weights.backend) ?? []), to: output)
  }
}

/// The head of a model that tells classes apart, in the place of the base's own.
struct MergedHead {
  let tensors: [(name: String, tensor: Tensor)]
  let labels: [String]
  /// Of transformers.
  let className: String

  /// nil for the adapter of a language model.
  init?(_ folder: AdapterFolder, _ family: ModelFamily) {
    guard let labels = folder.labels, let className = family.classifierClassName else {
      return nil
    }
    tensors = folder.adapter.saved
    self.labels = labels
    self.className = className
  }

  /// Whether a tensor of the base is not the merged model's: a head, of this or another kind.
  func replaces(_ name: String) -> Bool {
    let parts = name.split(separator: ".")
    let heads: Set = ["lm_head", "embed_out", "cls", "score", "classifier", "pre_classifier"]
    return heads.contains(String(parts.first ?? ""))
      || tensors.contains { $0.name == name }
  }

  /// What config.json says of it.
  var members: [JSONMember] {
    let numbered = labels.enumerated().map { (String($0), JSONValue.string($1)) }
    let named = labels.enumerated().map { ($1, JSONValue.int($0)) }
    return [
      JSONMember("architectures", .list([.string(className)])),
      JSONMember("id2label", .dictionary(numbered)), JSONMember("label2id", .dictionary(named)),
    ]
  }

  func tensors(as dtype: DType, on backend: any Backend) -> [FolderTensors] {
    tensors.map { name, tensor in
      FolderTensors(SafetensorsWriter.Declaration(name, dtype, tensor.shape)) { consume in
        try give(tensor, as: dtype, on: backend, consume)
      }
    }
  }
}
