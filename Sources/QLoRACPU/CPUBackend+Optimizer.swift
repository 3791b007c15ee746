// The AdamW update and the sum of squares that clipping needs.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import CQLoRAKernels
import QLoRATensor

extension AdamWStep {
  /// The update's constants, computed in double precision and rounded once each, as PyTorch does.
  var constants: qlora_adamw_constants {
    let correction1 = 1 - pow(beta1, Double(step))
    let correction2 = 1 - pow(beta2, Double(step))
    return qlora_adamw_constants(
      decay: Float(1 - learningRate * weightDecay), first_weight: Float(1 - beta1),
      beta2: Float(beta2), second_weight: Float(1 - beta2),
      correction2_root: Float(correction2.squareRoot()), epsilon: Float(epsilon),
      negative_step_size: Float(-(learningRate / correction1)))
  }
}

// SAFETY: every range lies inside tensors whose counts the preconditions compare; each partial sum
// is written by the one item that owns it.
extension CPUBackend {
  package func adamW(
    parameter: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor,
    _ step: AdamWStep
  ) {
    precondition(step.step >= 1, "steps count from 1")
    precondition(gradient.count == parameter.count)
    precondition(
      firstMoment.count == parameter.count && secondMoment.count == parameter.count)
    let kernel = rows
    let constants = step.constants
    runChunks(parameter.count) { range in
      let start = range.lowerBound
      withUnsafePointer(to: constants) {
        kernel.adamw(
          range.count, parameter.floatAddress(at: start), gradient.floatAddress(at: start),
          firstMoment.floatAddress(at: start), secondMoment.floatAddress(at: start), $0)
      }
    }
  }

  package func sumOfSquares(_ tensor: Tensor) -> Double {
    let chunks = (tensor.count + Self.chunkElements - 1) / Self.chunkElements
    let kernel = rows
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: max(1, chunks)) { sums in
      runChunks(tensor.count) { range in
        sums[range.lowerBound / Self.chunkElements] = kernel.sum_of_squares(
          range.count, tensor.address(at: range.lowerBound), tensor.dtype.element)
      }
      return sums[..<chunks].reduce(0, +)
    }
  }
}
