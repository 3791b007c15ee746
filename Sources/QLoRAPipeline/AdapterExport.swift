// Writing an adapter as a folder that PEFT loads as it is.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem

enum AdapterExport {
  /// Writes the folder in one piece, so that it appears complete or not at all, and reads it back
  /// against its manifest. Its files carry no time, no
  /// path of the run and no run id, so equal runs give equal bytes.
  ///
  /// - Parameter base: where the base model is, if that is known.
  static func write(
    _ adapter: PEFTAdapter, trainedWith load: LoadOptions?, labels: [String]? = nil, name: String,
    facts: [(String, String)] = [], isOfImages: Bool = false, base: String? = nil,
    to path: String,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws {
    let tensors = adapter.tensors()
    let bytes = tensors.reduce(0) { $0 + $1.tensor.byteCount } * (isOfImages ? 2 : 1)
    let pending = try AtomicDirectory(
      FilePath.lastComponent(of: path), in: FilePath.parent(of: path), expectedByteCount: bytes,
      fileSystem)
    do {
      try pending.write(PEFTAdapter.weightsName) { sink in
        try SafetensorsWriter.write(tensors) { try sink.write($0) }
      }
      if isOfImages {
        try pending.write(DiffusersAdapter.weightsName) { sink in
          try SafetensorsWriter.write(
            DiffusersAdapter.tensors(adapter), metadata: DiffusersAdapter.metadata(adapter)
          ) { try sink.write($0) }
        }
      }
      try pending.write(PEFTAdapterConfig.fileName, Array(adapter.config.fileText().utf8))
      if let load {
        let text = TrainedWith.text(load, labels: labels)
        try pending.write(TrainedWith.fileName, Array(text.utf8))
      }
      let model = base ?? adapter.config.baseModel ?? ""
      let card = AdapterCard.text(
        adapter, load, name, facts, isOfImages: isOfImages,
        ggufFile: model.hasSuffix(".gguf") ? FilePath.lastComponent(of: model) : nil)
      try pending.write("README.md", Array(card.utf8))
      _ = try pending.commit()
    } catch {
      pending.discard()
      throw error
    }
    do {
      try CheckpointManifest.verify(path)
    } catch {
      // What the disk changed on the way is worth nothing, and would pass for complete by its size.
      try? PosixFileSystem().removeTree(path)
      throw error
    }
  }

  /// Whether the configuration and all bytes of the weights are there. Somebody may have edited the
  /// configuration or the card since, which is theirs to do.
  static func isComplete(
    _ path: String, _ files: any FileSystem = PosixFileSystem()
  ) -> Bool {
    func byteCount(_ name: String) -> Int? {
      let status = try? files.status(FilePath.join(path, name))
      return status.flatMap { $0 }?.byteCount
    }
    guard byteCount(PEFTAdapterConfig.fileName) != nil,
      let found = byteCount(PEFTAdapter.weightsName)
    else { return false }
    let manifest = try? CheckpointManifest.load(path, files)
    let entry = manifest?.entries.first { $0.name == PEFTAdapter.weightsName }
    return found == entry?.byteCount ?? found
  }
}
