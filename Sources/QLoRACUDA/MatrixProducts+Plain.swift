// Products of shapes that cuBLASLt has no proposal for: slow, and right.
import CQLoRACUDA
import QLoRATensor

extension MatrixProducts {
  /// A side of the kernel's tiles.
  private static let tileSide = 16

  func multiplyPlainly(
    _ left: DeviceMatrix, _ right: DeviceMatrix, into output: DeviceMatrix, _ shape: ProductShape,
    factor: Float, adding: Bool
  ) {
    func argument(_ matrix: DeviceMatrix) -> qlora_cuda_product_matrix {
      qlora_cuda_product_matrix(
        at: matrix.address, stride: Int64(matrix.stride), type: matrix.dtype.element,
        is_across: matrix.isAcross ? 1 : 0)
    }
    let tiles = [shape.rows, shape.columns].map { ($0 + Self.tileSide - 1) / Self.tileSide }
    kernels.launch(
      "qlora_product", grid: (tiles[0] * tiles[1], 1, 1), threads: 256,
      [
        argument(left), argument(right), output.address, output.dtype.element, output.stride,
        shape.rows, shape.columns, shape.depth, factor, Int32(adding ? 1 : 0),
      ])
  }
}

extension CUDABackend {
  /// Shapes of products that cuBLASLt refused, for reports: rows, columns, depth.
  package var plainProducts: [[Int]] {
    let shapes = products.plainShapes.map { [$0.rows, $0.columns, $0.depth] }
    return shapes.sorted { $0.lexicographicallyPrecedes($1) }
  }
}
