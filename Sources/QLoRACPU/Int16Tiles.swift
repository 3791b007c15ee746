// Activations in 16-bit integers, with a scale for each token and segment.
import CQLoRAKernels
import QLoRATensor

// SAFETY: `values` and `scales` hold `tiles.count` tiles of the sizes below; every pointer here
// stays in them.
/// The quantized form of `TokenTiles`, in memory of the pool.
struct Int16Tiles {
  /// Steps of the reduction that share a scale and are summed exactly.
  let segment: Int
  /// Steps of the reduction, a multiple of 8.
  let columns: Int
  let segments: Int
  private let values: Storage
  private let scales: Storage

  /// - Parameters:
  ///   - factors: `[tiles.columns]`, nil for ones.
  ///   - unit: what a scale is per largest value.
  init(
    _ tiles: TokenTiles, segment: Int, factors: UnsafePointer<Float>?, unit: Float,
    _ backend: CPUBackend, _ kernels: qlora_int16_kernels
  ) {
    self.segment = segment
    columns = tiles.columns
    segments = (columns + segment - 1) / segment
    values = backend.storagePool.borrow(tiles.count * columns * TokenTiles.width * 2)
    scales = backend.storagePool.borrow(tiles.count * segments * TokenTiles.width * 4)
    let quantized = self
    // All lanes, since the head multiplies all; those without a token are zero.
    backend.threadPool.run(tiles.count) { tile in
      kernels.quantize(
        quantized.columns, segment, tiles[tile], factors, unit, quantized[tile],
        quantized.scales(tile), 3)
    }
  }

  /// `[columns / 2][48][2]`.
  subscript(tile: Int) -> UnsafeMutablePointer<Int16> {
    values.baseAddress.assumingMemoryBound(to: Int16.self) + tile * columns * TokenTiles.width
  }

  /// `[segments][48]`.
  func scales(_ tile: Int) -> UnsafeMutablePointer<Float> {
    scales.baseAddress.assumingMemoryBound(to: Float.self) + tile * segments * TokenTiles.width
  }
}
