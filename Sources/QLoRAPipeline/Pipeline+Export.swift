// Adapters and merged models for other tools.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAHub
import QLoRAModels
import QLoRASystem
import QLoRATensor

extension Pipeline {
  /// Copies a run's or a folder's adapter as PEFT loads it.
  package static func exportAdapter(_ source: String, to output: String) throws {
    try requireAbsent(output)
    let folder = try AdapterFolder.open(source)
    try AdapterExport.write(
      folder.adapter, trainedWith: folder.load, labels: folder.labels,
      name: FilePath.lastComponent(of: output), base: folder.basePath, to: output)
  }

  /// Folds an adapter into its base and writes a folder that transformers loads: plain, or, where
  /// `base` is `requantized`, as bitsandbytes loads it. `model` nil takes the base that the adapter
  /// names.
  ///
  /// - Parameter shardBytes: bytes of tensors in a file.
  /// - Throws: exit code 73 where `output` exists, 65 for an adapter of another model, 66 where a
  ///   model or adapter is missing; nothing is half-written.
  package static func merge(
    model: String?, adapter: String, base: MergeBase, dtype: DType, to output: String,
    shardBytes: Int = FolderWriter.shardBytes
  ) throws {
    try requireAbsent(output)
    let folder = try AdapterFolder.open(adapter)
    let source = try openBase(model, of: folder).withModules(of: folder.adapter)
    let weights = try MergedWeights(
      source, folder.adapter, base: base, options: folder.load ?? LoadOptions(quantization: nil),
      backend: try Backends.make())
    if base == .requantized {
      try folder.requireLanguageModel("only its base could be quantized again")
      return try RequantizedFolder(
        weights: weights, source: source, requantization: Requantization(source, folder.load),
        dtype: dtype, shardBytes: shardBytes
      ).write(to: output)
    }
    try MergedFolder(
      weights: weights, source: source, dtype: dtype, shardBytes: shardBytes,
      head: MergedHead(folder, source.config.family)
    ).write(to: output)
  }

  /// The model that the user named, else the one that the adapter names.
  static func openBase(_ model: String?, of folder: AdapterFolder) throws -> ModelSource {
    if let model { return try ModelSource.open(model) }
    guard let path = folder.basePath else {
      throw Diagnostic(
        .adapterBaseUnknown, "the adapter does not name its base model", at: .file(folder.path),
        remedy: "give it with --model")
    }
    do {
      return try ModelSource.open(try HubCache.place(of: path))
    } catch let missing as Diagnostic
      where [.modelMissing, .hubNotCached].contains(missing.code)
    {
      let reference = HubReference(path).flatMap { $0.isProbablyPath ? nil : $0 }
      let command = reference.map { ", or fetch it with `\($0.downloadCommand)`" }
      throw Diagnostic(
        missing.code, "the base model that the adapter names is not there", at: .file(path),
        remedy: "give the place where it is now with --model"
          + (missing.code == .hubNotCached ? command ?? "" : ""))
    }
  }

  /// Writes a file that appears complete or not at all, and over no other.
  package static func writeNew(_ bytes: [UInt8], to path: String) throws {
    try AtomicFile.write(path, bytes, replacing: false)
  }

  static func requireAbsent(_ path: String) throws {
    guard try PosixFileSystem().status(path) == nil else {
      throw Diagnostic(
        .outputFolderExists, "the output exists already", at: .file(path),
        remedy: "choose another path, or remove it")
    }
  }
}
