// `linear` with 4-bit weights in 16-bit integers: the frozen product alone; the low-rank branch
// stays fp32.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

/// Sizes of the blocks of an int16 product, and the caches that they are for.
enum Int16Blocking {
  /// Steps of the reduction per visit of a tile: 256 × 48 integers are 24 KiB, inside L1.
  static let depth = 256
  /// Decoded weights per work item: half of a 1 MiB L2.
  static let decoded = 256 * 1024

  /// Rows of a weight per work item, a multiple of 8.
  static func rows(outFeatures: Int, inFeatures: Int, threads: Int) -> Int {
    let fitting = max(8, min(ProductBlocking.maximumRows, decoded / inFeatures / 8 * 8))
    let items = threads * ProductBlocking.itemsPerThread
    return min(fitting, max(8, (outFeatures / items + 7) / 8 * 8))
  }
}

/// The weights of one call of `linear`, all of one block size and type of code.
struct Int16Products {
  let backend: CPUBackend
  let kernels: qlora_int16_kernels
  let weights: [FourBitWeight]
  let segment: Int
}

extension CPUBackend {
  static func int16Kernels(_ table: UnsafePointer<qlora_kernels>) throws -> qlora_int16_kernels {
    guard let kernels = qlora_int16_kernels_for(table.pointee.product) else {
      throw Diagnostic(
        .int16Unavailable,
        "no 16-bit dot products go with the \(String(cString: table.pointee.name)) kernels here",
        remedy: "set model.computeDType to bfloat16 or float32")
    }
    return kernels.pointee
  }

  /// nil where these products are to be computed in fp32.
  func int16Products(_ weights: [any PanelWeight]) -> Int16Products? {
    guard let int16 else { return nil }
    let fourBit = weights.compactMap { $0 as? FourBitWeight }
    guard fourBit.count == weights.count, let first = fourBit.first,
      let segment = first.int16Segment,
      fourBit.allSatisfy({ $0.specification == first.specification })
    else { return nil }
    return Int16Products(backend: self, kernels: int16, weights: fourBit, segment: segment)
  }
}

/// Rows of one term times a range of tiles.
private struct RowBlock {
  let term: Int
  let rows: Range<Int>
  let tiles: Range<Int>
}

/// A worker's own memory.
private struct Scratch {
  /// `[groups][in / 2][8][2]`.
  let codes: UnsafeMutablePointer<Int16>
  /// `[groups][segments][8]`.
  let scales: UnsafeMutablePointer<Float>
  /// `scale·B` as `[groups][depth][8]`.
  let low: UnsafeMutablePointer<Float>
  /// `[rows][48]`.
  let sums: UnsafeMutablePointer<Float>
}

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes give; work items
// write disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension Int16Products {
  func linear(_ input: Tensor, _ terms: [LinearTerm], _ tiles: TokenTiles) {
    let adapters = terms.map { term in
      term.adapter.map { backend.project($0, input: input, tiles: tiles) }
    }
    let factor = Int16Codebook.of(weights[0].specification.type).rowFactor
    let lanes = Int16Tiles(
      tiles, segment: segment, factors: nil, unit: 1 / (factor * Float(QLORA_INT16_LANE)),
      backend, kernels)
    let blocks = rowBlocks(tiles: tiles.count)
    let rows = (blocks.map(\.rows.count).max() ?? 0) + 7
    let codes = rows * lanes.columns / 2
    let scales = rows * lanes.segments
    let low = rows * (adapters.map { $0?.depth ?? 0 }.max() ?? 0)
    let (storage, memory) = backend.scratch(
      floats: codes + scales + low + rows * TokenTiles.width)
    backend.threadPool.run(blocks.count) { item, worker in
      let block = blocks[item]
      let start = memory(worker)
      let scratch = Scratch(
        codes: UnsafeMutableRawPointer(start).assumingMemoryBound(to: Int16.self),
        scales: start + codes, low: start + codes + scales, sums: start + codes + scales + low)
      decode(block, terms[block.term], adapters[block.term], lanes, scratch)
      for tile in block.tiles {
        multiply(block, tile: tile, lanes, tiles, adapters[block.term], scratch)
        store(block, tile: tile, tiles, terms[block.term], scratch)
      }
    }
    withExtendedLifetime(storage) {}
  }

  /// Cuts all terms into blocks of rows, and the tokens too where rows alone are too few.
  private func rowBlocks(tiles: Int) -> [RowBlock] {
    let threads = backend.threadPool.threads
    let rowItems = weights.reduce(0) { $0 + ($1.groups + 3) / 4 }
    let parts = max(1, min(tiles, threads * ProductBlocking.itemsPerThread / max(1, rowItems)))
    return weights.enumerated().flatMap { index, weight in
      let step = Int16Blocking.rows(
        outFeatures: weight.outFeatures, inFeatures: weight.inFeatures, threads: threads)
      return stride(from: 0, to: weight.outFeatures, by: step).flatMap { row in
        (0..<parts).map { part in
          RowBlock(
            term: index, rows: row..<min(row + step, weight.outFeatures),
            tiles: part * tiles / parts..<(part + 1) * tiles / parts)
        }
      }
    }
  }

  private func decode(
    _ block: RowBlock, _ term: LinearTerm, _ adapter: PackedAdapter?, _ lanes: Int16Tiles,
    _ scratch: Scratch
  ) {
    let first = block.rows.lowerBound / 8
    for group in 0..<(block.rows.count + 7) / 8 {
      weights[block.term].decodeRows(
        group: first + group, segment: segment, into: scratch.codes + group * 8 * lanes.columns,
        scales: scratch.scales + group * 8 * lanes.segments, kernels, backend.product)
      if let term = term.adapter, let adapter {
        backend.packOutput(
          term, group: first + group, depth: adapter.depth,
          into: scratch.low + group * 8 * adapter.depth)
      }
    }
  }

  /// One tile's sums with all rows of the block.
  private func multiply(
    _ block: RowBlock, tile: Int, _ lanes: Int16Tiles, _ tiles: TokenTiles,
    _ adapter: PackedAdapter?, _ scratch: Scratch
  ) {
    let groups = (block.rows.count + 7) / 8
    let vectors = tiles.vectors(in: tile)
    for start in stride(from: 0, to: lanes.columns, by: Int16Blocking.depth) {
      let count = min(Int16Blocking.depth, lanes.columns - start)
      for group in 0..<groups {
        kernels.tile(
          count, segment, scratch.codes + (group * lanes.columns + start) * 8,
          scratch.scales + (group * lanes.segments + start / segment) * 8, 8,
          lanes[tile] + start * TokenTiles.width,
          lanes.scales(tile) + start / segment * TokenTiles.width,
          scratch.sums + group * 8 * TokenTiles.width, vectors, start > 0 ? 1 : 0)
      }
    }
    guard let adapter else { return }
    for group in 0..<groups {
      backend.product.tile(
        adapter.depth, scratch.low + group * 8 * adapter.depth, adapter.projected[tile],
        scratch.sums + group * 8 * TokenTiles.width, vectors, 1)
    }
  }

  private func store(
    _ block: RowBlock, tile: Int, _ tiles: TokenTiles, _ term: LinearTerm, _ scratch: Scratch
  ) {
    let bias = term.bias.map { UnsafePointer($0.pointer(Float.self) + block.rows.lowerBound) }
    backend.unpack(
      scratch.sums, tokens: tiles.tokens(in: tile), rows: block.rows.count, bias: bias,
      into: term.output, token: tile * TokenTiles.width, row: block.rows.lowerBound,
      stride: weights[block.term].outFeatures)
  }
}
