// Rotary position embedding, in place, and its inverse, which is also its gradient.
import QLoRATensor

extension CUDABackend {
  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let tableRows = cosines.count / (headSize / 2)
    precondition(headSize % 2 == 0 && width % headSize == 0)
    precondition(tensor.count == width * positions.count && sines.count == cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    let places = integers.tensor(positions)
    launch(
      "qlora_rotary", over: tensor.count / 2,
      [
        write(tensor), tensor.dtype.element, read(places), read(cosines), read(sines),
        positions.count, width / headSize, headSize, Int32(inverse ? 1 : 0),
      ])
  }
}
