// `dY·W` in 16-bit integers, for a block of columns of `linearBackward`.
import CQLoRAKernels
import QLoRATensor

/// Where a block's decoded memory holds what.
private struct ColumnMemory {
  /// Per 8 columns `[rows / 2][8][2]`.
  let codes: UnsafeMutablePointer<Int16>
  /// Per 8 columns `[segments][8]`, or eight ones for all.
  let scales: UnsafeMutablePointer<Float>
  let panel: UnsafeMutablePointer<Float>
}

// SAFETY: pointers lie inside tiles and storages whose sizes the weight's shape gives, and inside a
// block's scratch memory, whose size `Int16Blocking` gives; items write disjoint blocks.
/// dY in integers. With 4-bit weights, whose scales vary along the reduction, it is multiplied by a
/// factor for each row, and the weight by the rest of its scales.
struct Int16Gradient {
  fileprivate let backend: CPUBackend
  fileprivate let kernels: qlora_int16_kernels
  fileprivate let weight: Int16Weight
  fileprivate let lanes: Int16Tiles
  fileprivate let tiles: TokenTiles
  /// `[groups][blocks][8]` for a 4-bit weight.
  fileprivate let ratios: Storage?

  /// Adds `dY·W` of the block's columns to its sums, or sets them where `first`.
  func add(to block: CPUBackend.ColumnBlock, first: Bool) {
    let width = (block.columns.count + 15) / 16 * 16
    // Codes take half a float for each of a row's columns, scales one for each of a segment's, the
    // panel a segment's floats. Whole visits of a tile, so that no segment spans two.
    let panel = width * lanes.segment
    let fitting = (Int16Blocking.backwardFloats - panel) * lanes.segment
      / (width * (lanes.segment / 2 + 1))
    let step = max(Int16Blocking.depth, fitting / Int16Blocking.depth * Int16Blocking.depth)
    for start in stride(from: 0, to: lanes.columns, by: step) {
      let rows = start..<min(start + step, lanes.columns)
      let scales = block.decoded + panel + width * rows.count / 2
      let memory = ColumnMemory(
        codes: UnsafeMutableRawPointer(block.decoded + panel).assumingMemoryBound(to: Int16.self),
        scales: scales, panel: block.decoded)
      decode(rows, block, memory)
      for tile in block.tiles {
        multiply(rows, tile: tile, block, memory, adding: !first || start > 0)
      }
    }
  }

  private func segments(_ rows: Range<Int>) -> Int {
    (rows.count + lanes.segment - 1) / lanes.segment
  }

  private func decode(
    _ rows: Range<Int>, _ block: CPUBackend.ColumnBlock, _ memory: ColumnMemory
  ) {
    if let fourBit = weight.fourBit, let ratios {
      let ratio = ratios.baseAddress.assumingMemoryBound(to: Int16.self)
      let perGroup = fourBit.inFeatures / fourBit.blockSize * 8
      memory.scales.update(repeating: 1, count: 8)
      for group in rows.lowerBound / 8..<rows.upperBound / 8 {
        fourBit.decodeColumns(
          group: group, columns: block.columns, ratios: ratio + group * perGroup,
          into: memory.codes + (group * 8 - rows.lowerBound) * 8, stride: rows.count * 8, kernels)
      }
      return
    }
    for (index, row) in stride(from: rows.lowerBound, to: rows.upperBound, by: lanes.segment)
      .enumerated()
    {
      let end = min(row + lanes.segment, rows.upperBound)
      weight.decodeColumns(
        groups: row / 8..<end / 8, columns: block.columns,
        into: memory.codes + (row - rows.lowerBound) * 8, stride: rows.count * 8,
        scales: memory.scales + index * 8, scaleStride: segments(rows) * 8, panel: memory.panel,
        kernels, backend.product)
    }
  }

  private func multiply(
    _ rows: Range<Int>, tile: Int, _ block: CPUBackend.ColumnBlock, _ memory: ColumnMemory,
    adding: Bool
  ) {
    let scaleStride = ratios == nil ? 8 : 0
    let vectors = tiles.vectors(in: tile)
    for start in stride(from: 0, to: rows.count, by: Int16Blocking.depth) {
      let count = min(Int16Blocking.depth, rows.count - start)
      let row = rows.lowerBound + start
      for group in 0..<block.groups {
        let scale = (group * segments(rows) + start / lanes.segment) * scaleStride
        kernels.tile(
          count, lanes.segment, memory.codes + (group * rows.count + start) * 8,
          memory.scales + scale, scaleStride, lanes[tile] + row * TokenTiles.width,
          lanes.scales(tile) + row / lanes.segment * TokenTiles.width, block.sum(tile, group),
          vectors, adding || start > 0 ? 1 : 0)
      }
    }
  }
}

extension CPUBackend {
  /// The gradient of an output ready for `dY·W` in int16; nil where that is to be computed in fp32.
  func int16Gradient(_ gradient: TokenTiles, _ weight: any PanelWeight) -> Int16Gradient? {
    guard let kernels = int16 else { return nil }
    let weight = Int16Weight(weight)
    var (factors, ratios): (Storage?, Storage?) = (nil, nil)
    var unit = 1 / Float(QLORA_INT16_LANE)
    if let fourBit = weight.fourBit {
      (factors, ratios) = splitScales(fourBit)
      unit /= Float(QLORA_INT16_WEIGHT)
    }
    let lanes = Int16Tiles(
      gradient, segment: QLORA_INT16_SEGMENT,
      factors: factors.map { UnsafePointer($0.baseAddress.assumingMemoryBound(to: Float.self)) },
      unit: unit, self, kernels)
    withExtendedLifetime(factors) {}
    return Int16Gradient(
      backend: self, kernels: kernels, weight: weight, lanes: lanes, tiles: gradient,
      ratios: ratios)
  }

  private func splitScales(_ weight: FourBitWeight) -> (factors: Storage, ratios: Storage) {
    let blocks = weight.inFeatures / weight.blockSize
    let factors = storagePool.borrow(weight.groups * 8 * 4)
    let ratios = storagePool.borrow(weight.groups * blocks * 8 * 2)
    let factor = factors.baseAddress.assumingMemoryBound(to: Float.self)
    let ratio = ratios.baseAddress.assumingMemoryBound(to: Int16.self)
    let kernels = product
    threadPool.run(weight.groups) { group in
      weight.splitScales(group: group, factors: factor, ratios: ratio, kernels)
    }
    return (factors, ratios)
  }
}
