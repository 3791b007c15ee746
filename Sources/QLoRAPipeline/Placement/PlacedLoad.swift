// Loads a model of which some layers stay on the disk. They are taken from the cache of bases where
// it has them; else each layer goes to the disk as soon as it is prepared, so that memory holds one
// of them at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

struct PlacedLoad {
  let source: ModelSource
  let backend: any WeightArchiving
  let options: LoadOptions
  /// Which layers stay on the disk, and where the file of weights has them.
  let layout: WeightLayout
  /// The base's place in the cache; nil where it has none.
  let shelf: WeightShelf?
  /// Where a file is written that nobody keeps.
  let scratchFolder: String
  let progress: (Double) throws -> Void

  /// - Throws: as `ModelLoader.load`, and where the disk has no room.
  func load() throws -> DecoderModel {
    if let base = shelf?.base(), let file = try? DirectFile(base.file) {
      return try load(base, file)
    }
    let blocks = StreamedBlocks(backend: backend)
    if let shelf, let (model, file) = try loadIntoCache(shelf, blocks) {
      blocks.open(file, layout.stored(in: layout.index))
      return model
    }
    var model: DecoderModel?
    // Layers in memory have no business in a file that nobody keeps.
    let index = layout.onDiskOnly
    let file = try ScratchFile.write(in: scratchFolder, byteCount: index.byteCount) { sink in
      model = try load(
        writing: { isOnDisk, weight in
          if isOnDisk { try weight.write(to: sink) }
        }, index, blocks)
    }
    blocks.open(file, layout.stored(in: index))
    guard let model else { preconditionFailure("the file was written without a model") }
    return model
  }

  private func load(_ base: CachedBase, _ file: DirectFile) throws -> DecoderModel {
    let blocks = StreamedBlocks(backend: backend)
    let stored = layout.stored(in: base.index)
    var weights = base.weights
    for block in stored {
      for indexed in block.weights {
        weights[indexed.module] = StreamedWeight(indexed, block: block.block, of: blocks)
      }
      // Checking the entry looked into it.
      base.mapped.release(block.range)
    }
    blocks.open(file, stored)
    let model = try ModelLoader(
      source, backend: backend, options: options, prepared: weights, progress: progress
    ).load()
    model.blockStore = blocks
    return model
  }

  /// - Returns: nil where the cache has no room, which is warned of.
  private func loadIntoCache(
    _ shelf: WeightShelf, _ blocks: StreamedBlocks
  ) throws -> (DecoderModel, DirectFile)? {
    let pending: AtomicDirectory
    do {
      pending = try shelf.cache.begin(shelf.key, layout.index)
    } catch {
      shelf.cache.warnUnkept(error)
      return nil
    }
    var loaded: (DecoderModel, DirectFile)?
    try shelf.cache.fill(pending, shelf.key, model: shelf.modelName, layout.index) { sink in
      let model = try load(
        writing: { _, weight in try weight.write(to: sink) }, layout.index, blocks)
      // Whatever becomes of the file's name, what is open can be read.
      loaded = (model, try DirectFile(sink.path))
      return shelf.isUnchanged
    }
    return loaded
  }

  /// - Parameter write: gets every weight in the model's order.
  private func load(
    writing write: @escaping (_ isOnDisk: Bool, ArchivedWeight) throws -> Void,
    _ index: WeightIndex, _ blocks: StreamedBlocks
  ) throws -> DecoderModel {
    let indexed = Dictionary(index.weights.map { ($0.module, $0) }) { $1 }
    let model = try ModelLoader(
      source, backend: backend, options: options,
      keeping: { module, weight in
        let block = layout.blockOnDisk(module)
        try write(block != nil, backend.archive(weight))
        guard let block, let place = indexed[module] else { return weight }
        return StreamedWeight(place, block: block, of: blocks)
      }, progress: progress
    ).load()
    model.blockStore = blocks
    return model
  }
}

/// Which layers lie in a file, and where: known before any weight is.
struct WeightLayout {
  let placement: LayerPlacement
  /// Of all weights of the model.
  let index: WeightIndex

  /// The block of a module that stays on the disk; nil for all others.
  func blockOnDisk(_ module: String) -> Int? {
    ModelLoader.block(of: module).flatMap { placement.isOnDisk($0) ? $0 : nil }
  }

  /// The same for a file that holds nothing else.
  var onDiskOnly: WeightIndex {
    index.keeping { blockOnDisk($0) != nil }
  }

  func stored(in index: WeightIndex) -> [StoredBlock] {
    StoredBlock.all(in: index, where: placement.isOnDisk)
  }

  /// Of the buffers that the blocks on disk take turns in.
  static func readAheadBytes(_ index: WeightIndex) -> Int {
    let ranges = StoredBlock.all(in: index) { _ in true }.map(\.range)
    return StreamedBlocks.bufferCount * ReadAhead.bufferBytes(ranges)
  }
}
