// RMS normalization and its gradient by the input; the weight is frozen.
import CQLoRAKernels
import QLoRATensor

// SAFETY: every range lies inside tensors whose counts the preconditions compare, and the tensors
// outlive the call.
extension CPUBackend {
  package func rmsNorm(
    _ input: Tensor, weight: Tensor, epsilon: Float, into output: Tensor, inverseRMS: Tensor
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && output.count == input.count)
    precondition(inverseRMS.count == count && inverseRMS.dtype == .float32)
    precondition(input.dtype.isActivation && output.dtype.isActivation)
    let kernel = rows
    runRows(count, width: width) { range in
      let start = range.lowerBound
      kernel.rms_norm(
        range.count, width, epsilon, input.address(at: start * width), input.dtype.element,
        weight.address, weight.dtype.element, output.address(at: start * width),
        output.dtype.element, inverseRMS.floatAddress(at: start))
    }
  }

  package func rmsNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inverseRMS: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && inverseRMS.count == count)
    precondition(outputGradient.count == input.count && inputGradient.count == input.count)
    let kernel = rows
    runRows(count, width: width) { range in
      let start = range.lowerBound
      kernel.rms_norm_backward(
        range.count, width, outputGradient.floatAddress(at: start * width),
        input.address(at: start * width), input.dtype.element, weight.address,
        weight.dtype.element, inverseRMS.floatAddress(at: start),
        inputGradient.floatAddress(at: start * width), accumulating ? 1 : 0)
    }
  }
}
