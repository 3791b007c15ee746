// Opens a base model by path: a Hugging Face folder, one safetensors file beside its config.json,
// or a GGUF file. It downloads nothing and builds nothing.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// A base model's configuration and weights.
package struct ModelSource: Sendable {
  package enum Origin: Sendable {
    /// The folder, where tokenizer and template files lie too.
    case folder(String)
    /// The file, whose metadata hold tokenizer and template too.
    case gguf(GGUFFile)
    /// No file: random weights under a shape's name, without a tokenizer.
    case random(String)
  }

  package internal(set) var config: ModelConfig
  package internal(set) var weights: any WeightSource
  package let origin: Origin
  /// The files whose bytes make the model, open since before anything of them was used.
  package let digestInputs: [InputFile]
  /// How weights that are stored in 8 bits meet activations, where the folder says so.
  package var int8Spec: Int8Spec?
  /// What of its files counts for nothing here, though somebody meant it to count.
  package internal(set) var warnings: [Diagnostic] = []
  /// Whether its files say that embedding and head are one, which is no longer so.
  package internal(set) var isUntied = false

  /// - Throws: `modelMissing` naming what was looked for, or what is wrong inside.
  package static func open(_ path: String) throws -> ModelSource {
    let opened: InputFile
    do throws(Diagnostic) {
      opened = try InputFile(path: path)
    } catch {
      switch error.code {
      case .fileNotRegular: return try openFolder(path)
      case .fileMissing:
        throw Diagnostic(
          .modelMissing, "there is no model folder and no .gguf or .safetensors file of this name",
          at: .file(path), remedy: "check the path, or download the model")
      default: throw error
      }
    }
    let magic = try opened.bytes(0..<min(4, opened.byteCount))
    if magic.elementsEqual("GGUF".utf8) || path.hasSuffix(".gguf") {
      return try openGGUF(opened)
    }
    return try openFile(opened)
  }

  private static let configName = "config.json"

  /// Random weights of this shape, their linears in 4 bits where `spec` says so.
  package static func random(
    _ name: String, _ config: ModelConfig, quantization spec: QuantizationSpec?
  ) -> ModelSource {
    ModelSource(
      config: config, weights: RandomWeights(config, quantization: spec), origin: .random(name),
      digestInputs: [])
  }

  private static func openGGUF(_ file: InputFile) throws -> ModelSource {
    let gguf = try GGUFFile(file: file)
    let config = try ModelConfig(gguf: gguf)
    return try ModelSource(
      config: config, weights: GGUFWeightSource(gguf, config: config), origin: .gguf(gguf),
      digestInputs: [file])
  }

  private static func openFile(_ file: InputFile) throws -> ModelSource {
    let weights = try SafetensorsFile(file: file)
    let folder = file.path.lastIndex(of: "/").map { String(file.path[..<$0]) } ?? "."
    return try open(ShardedSafetensors(files: [weights]), folder: folder.isEmpty ? "/" : folder)
  }

  private static func openFolder(_ folder: String) throws -> ModelSource {
    let configPath = FilePath.join(folder, configName)
    let names = [configName, ShardedSafetensors.singleName, ShardedSafetensors.indexName]
    if try names.allSatisfy({ try InputFile.openIfPresent($0, in: folder) == nil }) {
      throw Diagnostic(
        .modelMissing,
        "no config.json, \(ShardedSafetensors.singleName) or \(ShardedSafetensors.indexName) here",
        at: .file(folder), remedy: "give the folder that holds them, or a .gguf file")
    }
    // The configuration first: it tells a wrong architecture before gigabytes are looked at.
    _ = try ModelConfig(configPath: configPath)
    return try open(ShardedSafetensors(folder: folder), folder: folder)
  }

  private static func open(_ files: ShardedSafetensors, folder: String) throws -> ModelSource {
    let configPath = FilePath.join(folder, configName)
    let config = try ModelConfig(configPath: configPath)
    let file = try InputFile(configName, in: folder)
    let weights = try SafetensorsWeightSource(files)
    let json = try ModelConfig.json(configPath: configPath)
    try QuantizationEntry.check(json, path: configPath, weights)
    var seen: any WeightSource = weights
    if config.family.isTransposed {
      seen = TransposedWeights(weights) { config.isLinear($0) }
    } else if config.family.isEncoder {
      seen = RenamedWeights.encoder(weights, config.family)
    } else if let holder = config.holder {
      seen = RenamedWeights.held(weights, by: holder)
    }
    return ModelSource(
      config: config, weights: seen, origin: .folder(folder),
      digestInputs: [file] + files.files.map(\.file),
      int8Spec: try QuantizationEntry.int8Spec(json, path: configPath),
      warnings: [ownCode(json, config, configPath)].compactMap { $0 })
  }

  private static func ownCode(
    _ json: JSONValue, _ config: ModelConfig, _ path: String
  ) -> Diagnostic? {
    let key = "auto_map"
    guard let names = json[key]?.objectMembers, !names.isEmpty else { return nil }
    return Diagnostic(
      .ownCodeIgnored,
      "\(key) names code of the model's own, which is not run: it is computed as "
        + "\"\(config.family.rawValue)\"", at: .file(path))
  }
}

extension ModelSource {
  /// What messages call the model: its folder or file.
  package var path: String {
    switch origin {
    case .folder(let folder): folder
    case .gguf(let file): file.path
    case .random(let name): name
    }
  }
}
