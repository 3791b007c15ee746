// Blocks of a model whose weights lie in a file: a few buffers hold those whose turn it is, and a
// thread reads the next ones meanwhile.

import QLoRADiagnostics
import QLoRAModels
import QLoRASystem
import QLoRATensor
import Synchronization

/// A weight of such a block. It holds no memory of its own.
final class StreamedWeight: LentWeight {
  let outFeatures: Int
  let inFeatures: Int
  let spec: QuantizationSpec?
  var byteCount: Int { 0 }
  private let module: String
  private let block: Int
  private let blocks: StreamedBlocks

  init(_ indexed: IndexedWeight, block: Int, of blocks: StreamedBlocks) {
    module = indexed.module
    (outFeatures, inFeatures) = (indexed.outFeatures, indexed.inFeatures)
    if case .fourBit(let spec) = indexed.storage { self.spec = spec } else { spec = nil }
    self.block = block
    self.blocks = blocks
  }

  func borrow() -> any PreparedWeight { blocks.borrow(module, of: block) }
}

final class StreamedBlocks: BlockStore, Sendable {
  /// One is read while the other one is in use.
  static let bufferCount = 2

  private struct State {
    var reader: ReadAhead?
    var blocks: [StoredBlock] = []
    /// Place in `blocks`, and so among the reader's ranges, by index of the model's block.
    var places: [Int: Int] = [:]
    /// The block in use.
    var lent: (block: Int, weights: [String: any PreparedWeight])?
  }

  private let backend: any WeightArchiving
  private let state = Mutex(State())

  init(backend: any WeightArchiving) { self.backend = backend }

  /// Must come before the first weight is used.
  func open(_ file: DirectFile, _ blocks: [StoredBlock]) {
    let reader = ReadAhead(file, blocks.map(\.range), bufferCount: Self.bufferCount)
    state.withLock { state in
      state.reader = reader
      state.blocks = blocks
      state.places = Dictionary(blocks.indices.map { (blocks[$0].block, $0) }) { $1 }
    }
  }

  func expect(_ blocks: [Int]) {
    state.withLock { state in
      state.reader?.expect(blocks.compactMap { state.places[$0] })
    }
  }

  func check() throws {
    if let failure = state.withLock({ $0.reader?.failure }) { throw failure.diagnostic }
  }

  var statistics: ReadStatistics { state.withLock { $0.reader?.statistics } ?? ReadStatistics() }

  fileprivate func borrow(_ module: String, of block: Int) -> any PreparedWeight {
    let weight = state.withLock { state -> (any PreparedWeight)? in
      if state.lent?.block != block {
        // First, because the reader may overwrite it from here on.
        state.lent = nil
        state.lent = lend(block, state).map { (block, $0) }
      }
      return state.lent?.weights[module]
    }
    guard let weight else { preconditionFailure("\(module) is not in the file of its block") }
    return weight
  }

  private func lend(_ block: Int, _ state: State) -> [String: any PreparedWeight]? {
    guard let reader = state.reader, let place = state.places[block] else { return nil }
    let stored = state.blocks[place]
    let memory = reader.lend(place).storage(keeping: reader)
    let weights = stored.weights.compactMap { indexed in
      (try? backend.restore(indexed.archived(in: memory, from: stored.range.lowerBound)))
        .map { (indexed.module, $0) }
    }
    return Dictionary(weights) { $1 }
  }
}

/// Where the weights of one block lie in a file of weights.
struct StoredBlock {
  let block: Int
  let weights: [IndexedWeight]
  /// From the first part's beginning to the last one's end, with the padding after it.
  let range: Range<Int>

  /// The chosen blocks of a file, ascending.
  static func all(in index: WeightIndex, where isChosen: (Int) -> Bool) -> [StoredBlock] {
    var weights: [Int: [IndexedWeight]] = [:]
    for weight in index.weights {
      guard let block = ModelLoader.block(of: weight.module), isChosen(block) else { continue }
      weights[block, default: []].append(weight)
    }
    return weights.sorted { $0.key < $1.key }.map { StoredBlock(block: $0, weights: $1) }
  }

  private init(block: Int, weights: [IndexedWeight]) {
    self.block = block
    self.weights = weights
    let parts = weights.flatMap(\.parts)
    let ends = parts.map { WeightIndex.end(of: $0.byteCount, from: $0.offset) }
    range = (parts.map(\.offset).min() ?? 0)..<(ends.max() ?? 0)
  }
}
