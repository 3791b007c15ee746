// Rotary position embedding, in place, and its inverse, which is also its gradient.
import QLoRATensor

extension CUDABackend {
  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    rotate(
      tensor, headSize, positions, (cosines, sines), step: 1, apart: cosines.shape[1], inverse)
  }

  package func pairRotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    rotate(tensor, headSize, positions, (cosines, sines), step: 2, apart: 1, inverse)
  }

  /// - Parameters:
  ///   - step: from a pair's first element to the next pair's.
  ///   - apart: from a pair's first element to its second.
  private func rotate(
    _ tensor: Tensor, _ headSize: Int, _ positions: [Int32],
    _ table: (cosines: Tensor, sines: Tensor), step: Int, apart: Int, _ inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let (tableRows, pairs) = (table.cosines.shape[0], table.cosines.shape[1])
    precondition(2 * pairs <= headSize && width % headSize == 0)
    precondition(tensor.count == width * positions.count)
    precondition(table.sines.count == table.cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    let recorded = recordedPosition(positions)
    let places = recorded == nil ? integers.tensor(positions) : nil
    launch(
      "qlora_rotary", overPiecesOf: pairs, rows: tensor.count / headSize,
      [
        write(tensor), tensor.dtype.element, recorded ?? places.map(read) ?? 0,
        read(table.cosines), read(table.sines), positions.count, width / headSize, headSize,
        pairs, step, apart, Int32(inverse ? 1 : 0),
      ])
  }
}
