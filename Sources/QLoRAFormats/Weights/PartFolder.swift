// One part of a pipeline, or a model of any architecture: a folder with config.json and safetensors
// files. It does not know what the configuration means.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

package struct PartFolder: Sendable {
  package let path: String
  /// config.json; an object.
  package let json: JSONValue
  package let weights: any WeightSource
  /// What the weight files are called.
  package let stem: String
  /// The files whose bytes make the model, open since before anything of them was used.
  package let digestInputs: [InputFile]
  /// How weights that are stored in 8 bits meet activations, where the folder says so.
  package let int8Spec: Int8Spec?

  package var configPath: String { FilePath.join(path, "config.json") }
  /// The class that config.json names, as diffusers and transformers write it.
  package var className: String? {
    json["_class_name"]?.stringValue ?? json["architectures"]?.arrayValue?.first?.stringValue
  }

  /// - Throws: what is wrong with a config.json, a weight file or a quantized weight;
  ///   `quantizationContradiction` where config.json and tensors disagree.
  package init(_ path: String) throws {
    let configPath = FilePath.join(path, "config.json")
    let json = try ModelConfig.json(configPath: configPath)
    let stem =
      try ShardedSafetensors.stems.first {
        let name = FilePath.join(path, $0 + ".safetensors")
        return try InputFile.openIfPresent(name) != nil
          || InputFile.openIfPresent(name + ".index.json") != nil
      } ?? ShardedSafetensors.stems[0]
    let weights = try SafetensorsWeightSource(ShardedSafetensors(folder: path, stem: stem))
    try QuantizationEntry.check(json, path: configPath, weights)
    self.path = path
    self.json = json
    self.weights = weights
    self.stem = stem
    digestInputs =
      [try InputFile("config.json", in: path)] + weights.files.files.map(\.file)
    int8Spec = try QuantizationEntry.int8Spec(json, path: configPath)
  }

  private init(_ folder: PartFolder, weights: any WeightSource) {
    path = folder.path
    json = folder.json
    self.weights = weights
    stem = folder.stem
    digestInputs = folder.digestInputs
    int8Spec = folder.int8Spec
  }

  /// The same with zeros for values, of which nothing is read.
  package var shapeOnly: PartFolder {
    PartFolder(self, weights: ShapeOnlyWeights(base: weights, isMade: false))
  }
}
