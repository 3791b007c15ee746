// Normalizations and their gradients by the input; weights are frozen.
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

  package func layerNorm(
    _ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into output: Tensor,
    statistics: Tensor
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && output.count == input.count)
    precondition(statistics.count == 2 * count && bias.count == width)
    precondition(input.dtype.isActivation && output.dtype.isActivation)
    let kernel = rows
    runRows(count, width: width) { range in
      let start = range.lowerBound
      kernel.layer_norm(
        range.count, width, epsilon, input.address(at: start * width), input.dtype.element,
        weight.floatAddress(at: 0), bias.floatAddress(at: 0), output.address(at: start * width),
        output.dtype.element, statistics.floatAddress(at: 2 * start))
    }
  }

  package func layerNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, statistics: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && statistics.count == 2 * count)
    precondition(outputGradient.count == input.count && inputGradient.count == input.count)
    let kernel = rows
    runRows(count, width: width) { range in
      let start = range.lowerBound
      kernel.layer_norm_backward(
        range.count, width, outputGradient.floatAddress(at: start * width),
        input.address(at: start * width), input.dtype.element, weight.floatAddress(at: 0),
        statistics.floatAddress(at: 2 * start), inputGradient.floatAddress(at: start * width),
        accumulating ? 1 : 0)
    }
  }
}
