// Rotary position embedding, in place, and its inverse, which is also its gradient.
import CQLoRAKernels
import QLoRATensor

// SAFETY: every range lies inside the tensor, and every position was compared with the tables'
// rows before a kernel reads them.
extension CPUBackend {
  package func rotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let (tableRows, rotated) = (cosines.shape[0], 2 * cosines.shape[1])
    precondition(rotated <= headSize && width % headSize == 0)
    precondition(tensor.count == width * positions.count && sines.count == cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    precondition(tensor.dtype.isActivation)
    let kernel = rows
    positions.withUnsafeBufferPointer { positions in
      runRows(positions.count, width: width) { range in
        kernel.rotary(
          range.count, width / headSize, headSize, rotated,
          tensor.address(at: range.lowerBound * width), tensor.dtype.element,
          positions.baseAddress! + range.lowerBound, cosines.floatAddress(at: 0),
          sines.floatAddress(at: 0), inverse ? 1 : 0)
      }
    }
  }
}
