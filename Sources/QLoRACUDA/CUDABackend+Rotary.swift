// Rotary position embedding, in place, and its inverse, which is also its gradient.
import QLoRATensor

extension CUDABackend {
  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let (tableRows, pairs) = (cosines.shape[0], cosines.shape[1])
    precondition(2 * pairs <= headSize && width % headSize == 0)
    precondition(tensor.count == width * positions.count && sines.count == cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    let places = integers.tensor(positions)
    launch(
      "qlora_rotary", over: tensor.count / headSize * pairs,
      [
        write(tensor), tensor.dtype.element, read(places), read(cosines), read(sines),
        positions.count, width / headSize, headSize, pairs,
        Int32(inverse ? 1 : 0),
      ])
  }
}
