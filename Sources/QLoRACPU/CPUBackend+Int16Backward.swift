// `dY·W` with 4-bit weights in 16-bit integers, for a block of columns of `linearBackward`.
import CQLoRAKernels
import QLoRATensor

// SAFETY: pointers lie inside tiles and storages whose sizes the weight's shape gives, and inside a
// block's scratch memory, whose sizes `ProductBlocking` gives; items write disjoint blocks.
/// dY times a factor for each row of the weight, and the rest of the weight's scales.
struct Int16Gradient {
  fileprivate let backend: CPUBackend
  fileprivate let kernels: qlora_int16_kernels
  fileprivate let weight: FourBitWeight
  fileprivate let lanes: Int16Tiles
  fileprivate let tiles: TokenTiles
  /// `[groups][blocks][8]`.
  fileprivate let ratios: Storage

  /// Adds `dY·W` of the block's columns to its sums, or sets them where `first`.
  func add(to block: CPUBackend.ColumnBlock, first: Bool) {
    let width = (block.columns.count + 15) / 16 * 16
    // Whole visits of a tile, so that a segment never spans two.
    let step = max(
      Int16Blocking.depth,
      ProductBlocking.backwardFloats * 2 / width / Int16Blocking.depth * Int16Blocking.depth)
    for start in stride(from: 0, to: lanes.columns, by: step) {
      let rows = start..<min(start + step, lanes.columns)
      decode(rows, block, width: width)
      for tile in block.tiles {
        multiply(rows, tile: tile, block, adding: !first || start > 0)
      }
    }
  }

  /// Per 8 columns `[rows / 2][8][2]`.
  private func decode(_ rows: Range<Int>, _ block: CPUBackend.ColumnBlock, width: Int) {
    let codes = decoded(block)
    let ratio = ratios.baseAddress.assumingMemoryBound(to: Int16.self)
    let perGroup = weight.inFeatures / weight.blockSize * 8
    for group in rows.lowerBound / 8..<rows.upperBound / 8 {
      weight.decodeColumns(
        group: group, columns: block.columns, ratios: ratio + group * perGroup,
        into: codes + (group * 8 - rows.lowerBound) * 8, stride: rows.count * 8, kernels)
    }
  }

  private func decoded(_ block: CPUBackend.ColumnBlock) -> UnsafeMutablePointer<Int16> {
    UnsafeMutableRawPointer(block.decoded).assumingMemoryBound(to: Int16.self)
  }

  private func multiply(
    _ rows: Range<Int>, tile: Int, _ block: CPUBackend.ColumnBlock, adding: Bool
  ) {
    let codes = decoded(block)
    let vectors = tiles.vectors(in: tile)
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 8) { ones in
      ones.initialize(repeating: 1)
      for start in stride(from: 0, to: rows.count, by: Int16Blocking.depth) {
        let count = min(Int16Blocking.depth, rows.count - start)
        let row = rows.lowerBound + start
        for group in 0..<block.groups {
          kernels.tile(
            count, lanes.segment, codes + (group * rows.count + start) * 8, ones.baseAddress, 0,
            lanes[tile] + row * TokenTiles.width,
            lanes.scales(tile) + row / lanes.segment * TokenTiles.width, block.sum(tile, group),
            vectors, adding || start > 0 ? 1 : 0)
        }
      }
    }
  }
}

extension CPUBackend {
  /// The gradient of an output ready for `dY·W` in int16; nil where that is to be computed in fp32.
  func int16Gradient(_ gradient: TokenTiles, _ weight: any PanelWeight) -> Int16Gradient? {
    guard let products = int16Products([weight]) else { return nil }
    let (weight, kernels, product) = (products.weights[0], products.kernels, product)
    let blocks = weight.inFeatures / weight.blockSize
    let factors = storagePool.borrow(weight.groups * 8 * 4)
    let ratios = storagePool.borrow(weight.groups * blocks * 8 * 2)
    let factor = factors.baseAddress.assumingMemoryBound(to: Float.self)
    let ratio = ratios.baseAddress.assumingMemoryBound(to: Int16.self)
    threadPool.run(weight.groups) { group in
      weight.splitScales(group: group, factors: factor, ratios: ratio, product)
    }
    let unit = 1 / Float(QLORA_INT16_LANE * QLORA_INT16_WEIGHT)
    let lanes = Int16Tiles(
      gradient, segment: QLORA_INT16_SEGMENT, factors: factor, unit: unit, self,
      kernels)
    withExtendedLifetime(factors) {}
    return Int16Gradient(
      backend: self, kernels: kernels, weight: weight, lanes: lanes, tiles: gradient,
      ratios: ratios)
  }
}
