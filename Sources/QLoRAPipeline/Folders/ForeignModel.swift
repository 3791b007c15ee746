// A model whose weights are rewritten without being run: a safetensors folder of any architecture,
// or a GGUF file that this program can run.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

struct ForeignModel {
  let path: String
  let weights: any WeightSource
  let origin: ModelSource.Origin
  /// Of a GGUF file.
  let config: ModelConfig?
  /// config.json; an object.
  let json: JSONValue
  /// What the weight files are called.
  let stem: String

  var modelType: String? { json["model_type"]?.stringValue }
  /// Whether plain files hold this weight as `[in, out]`.
  func isTransposed(_ name: String) -> Bool {
    LinearModules.isTransposed(name, modelType: modelType)
  }
  /// Whether the folder is one of diffusers.
  var isDiffusers: Bool { json["_class_name"] != nil }
  /// The type that the library loads floats as; nil: as they are stored.
  var dtype: DType? {
    (json["dtype"] ?? json["torch_dtype"])?.stringValue.flatMap(DType.init(rawValue:))
  }

  /// - Throws: `modelMissing`; what is wrong with a config.json, a weight file or a 4-bit weight;
  ///   `quantizationContradiction` where config.json and tensors disagree.
  static func open(_ path: String) throws -> ForeignModel {
    guard try PosixFileSystem().status(FilePath.join(path, ".")) != nil else {
      let source = try ModelSource.open(path)
      return ForeignModel(
        path: path, weights: source.weights, origin: source.origin, config: source.config,
        json: source.config.huggingFaceJSON(dtype: .float32), stem: ShardedSafetensors.stems[0])
    }
    let folder = try PartFolder(path)
    return ForeignModel(
      path: path, weights: folder.weights, origin: .folder(path), config: nil, json: folder.json,
      stem: folder.stem)
  }

  /// Where a tensor is, for a diagnostic.
  func place(_ name: String) -> DiagnosticLocation {
    let file = try? (weights as? SafetensorsWeightSource)?.files.file(of: name).path
    return .tensor(file: file ?? path, name: name)
  }
}
