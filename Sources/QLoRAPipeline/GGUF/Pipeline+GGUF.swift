// Adapters and models for llama.cpp.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

extension Pipeline {
  /// The types that GGUF files are written in, as commands spell them.
  package static func ggufType(_ word: String) -> GGUFTensorType? {
    switch word {
    case "f32", "fp32", "float32": .f32
    case "f16", "fp16", "float16": .f16
    case "bf16", "bfloat16": .bf16
    case "q8_0": .q8_0
    default: nil
    }
  }

  /// Writes a run's or a folder's adapter for llama.cpp. `model` nil takes the base that the
  /// adapter names, of which only the shapes are looked at.
  ///
  /// - Throws: exit code 73 where `output` exists, 65 for an adapter of another model.
  package static func exportGGUFAdapter(
    _ source: String, model: String?, type: GGUFTensorType, to output: String,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws {
    try requireAbsent(output)
    let folder = try AdapterFolder.open(source)
    try folder.requireLanguageModel("GGUF has no place for its head")
    guard folder.adapter.saved.isEmpty else {
      throw Diagnostic(
        .taskUnsupported, "GGUF adapters have no place for modules that were trained as a whole",
        at: .file(folder.path), remedy: "write the merged model with --format merged-gguf")
    }
    let base = try openBase(model, of: folder)
    try requireDecoder(base)
    try folder.adapter.checkFit(base)
    try GGUFAdapterFile(
      adapter: folder.adapter, config: base.config, type: type, name: stem(output)
    ).write(to: output, fileSystem)
  }

  /// Writes a model for llama.cpp: the base with an adapter folded in, or, where `source` is itself
  /// a model, that model; weights of bitsandbytes are decoded.
  ///
  /// - Returns: what the user should know of the file.
  /// - Throws: exit code 73 where `output` exists, 65 for a model that the file cannot hold.
  package static func exportGGUFModel(
    _ source: String, model: String?, base: MergeBase, type: GGUFTensorType, to output: String,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws -> [String] {
    try requireAbsent(output)
    let folder = try AdapterFolder.isOne(source) ? AdapterFolder.open(source) : nil
    try folder?.requireLanguageModel("GGUF has no place for its head")
    let opened =
      try folder.map { try openBase(model, of: $0).withModules(of: $0.adapter) }
      ?? ModelSource.open(source)
    try requireDecoder(opened)
    let weights = try MergedWeights(
      opened, folder?.adapter, base: base,
      options: folder?.load ?? LoadOptions(quantization: nil), backend: try Backends.make())
    let file = GGUFModelFile(
      weights: weights, source: opened, type: type, name: stem(output))
    let wide = try file.write(to: output, fileSystem)
    return wide.isEmpty
      ? []
      : [
        "\(wide.count) matrices such as \(wide[0]) are F16: their rows are no multiple of the "
          + "\(type.blockElements) elements of \(type.name)"
      ]
  }

  private static func requireDecoder(_ source: ModelSource) throws {
    guard source.config.family.isEncoder || source.config.family.readsAndWrites else { return }
    throw Diagnostic(
      .taskUnsupported, "encoders and models that read and write are not written as GGUF",
      at: .file(source.path), remedy: "use its folder of safetensors")
  }

  /// A file's name without its ending.
  private static func stem(_ path: String) -> String {
    let name = FilePath.lastComponent(of: path)
    return name.hasSuffix(".gguf") && name != ".gguf" ? String(name.dropLast(5)) : name
  }
}
