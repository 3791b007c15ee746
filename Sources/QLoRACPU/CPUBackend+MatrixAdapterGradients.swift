// The gradients of adapters in products of bf16: sums over tokens of a low-rank activation and
// an input or a gradient. The low-rank side counts with 16 bits of its fp32 values.
import CQLoRAKernels
import QLoRATensor

/// `scale·leftᵀ·right`, added to a gradient.
struct MatrixTokenSum {
  /// `[tokens, rank]` float32.
  let left: Tensor
  let scale: Float
  let right: TokenColumns
  /// `[rank, columns]`, or `[columns, rank]` where `isTransposed`; float32.
  let gradient: Tensor
  let isTransposed: Bool
  /// `scale·leftᵀ`: strips of 16 rows as rounded and 16 rows of what that left.
  let rows: TokenStrips

  init(
    left: Tensor, scale: Float, right: TokenColumns, gradient: Tensor, isTransposed: Bool,
    _ pool: StoragePool
  ) {
    self.left = left
    self.scale = scale
    self.right = right
    self.gradient = gradient
    self.isTransposed = isTransposed
    let strips = (left.shape[1] + 15) / 16
    rows = TokenStrips(tokens: 32 * strips, columns: left.shape[0], pool)
  }

  var width: Int { gradient.shape[isTransposed ? 0 : 1] }
}

// SAFETY: pointers lie inside tensors, strips and scratch whose sizes the shapes give; items write
// disjoint strips, or disjoint columns.
extension CPUBackend {
  /// All sums at once, so that the threads meet twice and not twice for each.
  func addGradients(_ sums: [MatrixTokenSum], _ kernels: qlora_matrix_kernels) {
    guard let tokens = sums.first?.left.shape[0] else { return }
    let (storage, memory) = scratch(floats: TokenStrips.rows * max(32, tokens))
    threadPool.run(sums.count) { index, worker in
      for strip in 0..<sums[index].rows.count {
        pack(sums[index], strip, memory(worker), kernels)
      }
    }
    // The same columns of all sums, one after the other: terms may share a gradient.
    threadPool.run(sums.reduce(0) { max($0, $1.right.blocks) }) { block, worker in
      for sum in sums where block < sum.right.blocks {
        add(sum, block, memory(worker), kernels)
      }
    }
    withExtendedLifetime(storage) {}
  }

  private func pack(
    _ sum: MatrixTokenSum, _ strip: Int, _ rows: UnsafeMutablePointer<Float>,
    _ kernels: qlora_matrix_kernels
  ) {
    let (tokens, rank) = (sum.left.shape[0], sum.left.shape[1])
    let values = sum.left.pointer(Float.self)
    for row in 0..<16 {
      let (column, place) = (16 * strip + row, rows + row * tokens)
      for token in 0..<tokens {
        place[token] = column < rank ? sum.scale * values[token * rank + column] : 0
      }
    }
    kernels.residual(16 * tokens, rows, rows + 16 * tokens)
    kernels.strip_f32(32, tokens, rows, tokens, sum.rows[strip])
  }

  /// 32 columns of one sum.
  private func add(
    _ sum: MatrixTokenSum, _ block: Int, _ products: UnsafeMutablePointer<Float>,
    _ kernels: qlora_matrix_kernels
  ) {
    let (rank, first) = (sum.left.shape[1], 32 * block)
    let (rowStride, columnStride) = sum.isTransposed ? (1, rank) : (sum.width, 1)
    let gradient = sum.gradient.pointer(Float.self)
    for strip in 0..<sum.rows.count {
      var part = sum.rows.part(strip, columns: sum.right[block])
      kernels.product(1, &part, 1, products, 32, 0)
      for row in 0..<min(16, rank - 16 * strip) {
        let place = gradient + (16 * strip + row) * rowStride + first * columnStride
        for column in 0..<min(32, sum.width - first) {
          place[column * columnStride] +=
            products[row * 32 + column] + products[(row + 16) * 32 + column]
        }
      }
    }
  }
}
