// Products of tiles with blocks of rows in 16-bit integers, for `linear` and the head.
import CQLoRAKernels
import QLoRADiagnostics
import QLoRATensor

/// Sizes of the blocks of an int16 product, and the caches that they are for.
enum Int16Blocking {
  /// Steps of the reduction per visit of a tile: 256 × 48 integers are 24 KiB, inside L1.
  static let depth = 256
  /// Decoded weights per work item: half of a 1 MiB L2.
  static let decoded = 256 * 1024
  static let maximumRows = 64
  /// Items per thread, so that the last ones to finish wait for little.
  static let itemsPerThread = 4
  /// Floats that a block of columns may decode into: 256 KiB.
  static let backwardFloats = 64 * 1024

  /// Rows of a weight per work item, a multiple of 8.
  static func rows(outFeatures: Int, inFeatures: Int, threads: Int) -> Int {
    let fitting = max(8, min(maximumRows, decoded / inFeatures / 8 * 8))
    let items = threads * itemsPerThread
    return min(fitting, max(8, (outFeatures / items + 7) / 8 * 8))
  }
}

/// Weights that meet the same activations.
struct Int16Products {
  let backend: CPUBackend
  let kernels: qlora_int16_kernels
  let weights: [Int16Weight]
  /// Steps of the reduction that share scales.
  let segment: Int
}

/// One worker's decoded rows.
struct Int16Rows {
  /// `[groups][depth / 2][8][2]`.
  let codes: UnsafeMutablePointer<Int16>
  /// `[groups][segments][8]`.
  let scales: UnsafeMutablePointer<Float>
  let panel: UnsafeMutablePointer<Float>
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

  /// nil where products are computed in fp32.
  func int16Products(_ weights: [any PanelWeight]) -> Int16Products? {
    guard let int16 else { return nil }
    let weights = weights.map { Int16Weight($0) }
    let segment = weights.map(\.longestSegment).min() ?? QLORA_INT16_SEGMENT
    return Int16Products(backend: self, kernels: int16, weights: weights, segment: segment)
  }
}

// SAFETY: pointers lie inside tiles and scratch whose sizes `scratchFloats` and the shapes give.
extension Int16Products {
  func quantize(_ tiles: TokenTiles) -> Int16Tiles {
    Int16Tiles(
      tiles, segment: segment, factors: nil, unit: 1 / Float(QLORA_INT16_LANE), backend, kernels)
  }

  /// What a worker needs for `rows` decoded rows, a multiple of 8.
  func scratchFloats(rows: Int, _ lanes: Int16Tiles) -> Int {
    rows * (lanes.columns / 2 + lanes.segments) + (weights.map(\.panelFloats).max() ?? 0)
  }

  func rows(
    _ count: Int, _ lanes: Int16Tiles, at memory: UnsafeMutablePointer<Float>
  ) -> Int16Rows {
    let scales = memory + count * lanes.columns / 2
    return Int16Rows(
      codes: UnsafeMutableRawPointer(memory).assumingMemoryBound(to: Int16.self), scales: scales,
      panel: scales + count * lanes.segments)
  }

  func decode(weight: Int, groups: Range<Int>, _ lanes: Int16Tiles, into rows: Int16Rows) {
    for (index, group) in groups.enumerated() {
      weights[weight].decodeRows(
        group: group, segment: segment, depth: lanes.columns,
        into: rows.codes + index * 8 * lanes.columns,
        scales: rows.scales + index * 8 * lanes.segments, panel: rows.panel, kernels,
        backend.product)
    }
  }

  /// `sums [8 · groups][48]` = decoded rows times a tile.
  func multiply(
    _ rows: Int16Rows, groups: Int, _ lanes: Int16Tiles, tile: Int, vectors: Int,
    into sums: UnsafeMutablePointer<Float>
  ) {
    for start in stride(from: 0, to: lanes.columns, by: Int16Blocking.depth) {
      let count = min(Int16Blocking.depth, lanes.columns - start)
      for group in 0..<groups {
        kernels.tile(
          count, segment, rows.codes + (group * lanes.columns + start) * 8,
          rows.scales + (group * lanes.segments + start / segment) * 8, 8,
          lanes[tile] + start * TokenTiles.width,
          lanes.scales(tile) + start / segment * TokenTiles.width,
          sums + group * 8 * TokenTiles.width, vectors, start > 0 ? 1 : 0)
      }
    }
  }

  /// Logits, and what softmax needs of every block while it is in the cache.
  func fill(_ chunk: LogitChunk, _ tiles: TokenTiles) {
    let vocabulary = weights[0].weight.outFeatures
    let lanes = quantize(tiles)
    let step = LogitChunk.blockRows
    let (storage, memory) = backend.scratch(floats: scratchFloats(rows: step, lanes))
    backend.threadPool.run((vocabulary + step - 1) / step) { block, worker in
      let count = min(step, vocabulary - block * step)
      let groups = block * step / 8..<(block * step + count + 7) / 8
      let rows = rows(step, lanes, at: memory(worker))
      decode(weight: 0, groups: groups, lanes, into: rows)
      for tile in 0..<tiles.count {
        multiply(
          rows, groups: groups.count, lanes, tile: tile, vectors: 3,
          into: chunk.logits[tile] + block * step * TokenTiles.width)
        chunk.summarize(block: block, tile: tile, rows: count, backend.product)
      }
    }
    withExtendedLifetime(storage) {}
  }
}
