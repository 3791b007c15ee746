// Rotary position embedding, in place, and its inverse, which is also its gradient.
import QLoRATensor

extension CUDABackend {
  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    turn(tensor, headSize, positions, cosines, sines, neighbours: false, inverse: inverse)
  }

  package func pairRotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    turn(tensor, headSize, positions, cosines, sines, neighbours: true, inverse: inverse)
  }

  private func turn(
    _ tensor: Tensor, _ headSize: Int, _ positions: [Int32], _ cosines: Tensor, _ sines: Tensor,
    neighbours: Bool, inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let (tableRows, pairs) = (cosines.shape[0], cosines.shape[1])
    precondition(2 * pairs <= headSize && width % headSize == 0)
    precondition(tensor.count == width * positions.count && sines.count == cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    let recorded = recordedPosition(positions)
    let places = recorded == nil ? integers.tensor(positions) : nil
    launch(
      "qlora_rotary", over: tensor.count / headSize * pairs,
      [
        write(tensor), tensor.dtype.element, recorded ?? places.map(read) ?? 0, read(cosines),
        read(sines), positions.count, width / headSize, headSize, pairs,
        Int32(neighbours ? 1 : 0), Int32(inverse ? 1 : 0),
      ])
  }
}
