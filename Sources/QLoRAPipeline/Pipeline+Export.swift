// Adapters and merged models for other tools.

import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

extension Pipeline {
  /// Copies a run's or a folder's adapter as PEFT loads it.
  package static func exportAdapter(_ source: String, to output: String) throws {
    try requireAbsent(output)
    let folder = try AdapterFolder.open(source)
    try AdapterExport.write(
      folder.adapter, trainedWith: folder.load, name: FilePath.lastComponent(of: output),
      to: output)
  }

  /// Folds an adapter into its base and writes a folder that transformers loads. `model` nil takes
  /// the base that the adapter names.
  ///
  /// - Throws: exit code 73 where `output` exists; nothing is half-written.
  package static func merge(
    model: String?, adapter: String, base: MergeBase, dtype: DType, to output: String
  ) throws {
    try requireAbsent(output)
    let folder = try AdapterFolder.open(adapter)
    guard let path = model ?? folder.adapter.config.baseModel else {
      throw Diagnostic(
        .adapterBaseUnknown, "the adapter does not name its base model", at: .file(folder.path),
        remedy: "give it with --model")
    }
    var load = folder.load ?? LoadOptions(quantization: nil, computeDType: .float32)
    load.computeDType = .float32
    let source = try ModelSource.open(path)
    let loaded = try ModelLoader(
      source, backend: try CPUBackend(), options: load
    ).load()
    try loaded.addAdapters(folder.adapter)
    try MergedFolder(
      MergedWeights(loaded, source: source, base: base), source: source, dtype: dtype
    ).write(to: output)
  }

  private static func requireAbsent(_ path: String) throws {
    guard try PosixFileSystem().status(path) == nil else {
      throw Diagnostic(
        .outputFolderExists, "the output exists already", at: .file(path),
        remedy: "choose another path, or remove it")
    }
  }
}

/// Writes a merged model as a Hugging Face folder, one piece at a time.
struct MergedFolder {
  let weights: MergedWeights
  let source: ModelSource
  let dtype: DType

  init(_ weights: MergedWeights, source: ModelSource, dtype: DType) {
    self.weights = weights
    self.source = source
    self.dtype = dtype
  }

  func write(to output: String) throws {
    let names = try weights.names.map { name in
      SafetensorsWriter.Declaration(name, dtype, try weights.shape(of: name))
    }
    let bytes = names.reduce(0) { $0 + $1.shape.count * dtype.byteSize }
    let pending = try AtomicDirectory(
      FilePath.lastComponent(of: output), in: FilePath.parent(of: output), expectedByteCount: bytes)
    do {
      try pending.write("model.safetensors", byteCount: bytes) { sink in
        try writeTensors(names) { try sink.write($0) }
      }
      for (name, contents) in try MergedCompanions(source, dtype: dtype).files() {
        try pending.write(name, contents)
      }
      _ = try pending.commit()
    } catch {
      pending.discard()
      throw error
    }
  }

  private func writeTensors(
    _ declarations: [SafetensorsWriter.Declaration], _ sink: @escaping SafetensorsWriter.Sink
  ) throws {
    var writer = try SafetensorsWriter(declarations, sink: sink)
    for entry in writer.entries {
      try weights.forEachPiece(of: entry.name) { piece in
        let converted = Tensor(uninitialized: piece.shape, dtype)
        weights.backend.convert(piece, into: converted)
        try converted.withBytes { try writer.write(bytes: $0, of: entry.name) }
      }
    }
    try writer.finish()
  }
}
