// Normalizations and their gradients by the input; weights are frozen.
import QLoRATensor

extension CUDABackend {
  package func rmsNorm(
    _ input: Tensor, weight: Tensor, epsilon: Float, into output: Tensor, inverseRMS: Tensor
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && output.count == input.count)
    precondition(inverseRMS.count == count && inverseRMS.dtype == .float32)
    kernels.launch(
      "qlora_rms_norm", grid: (count, 1, 1), threads: 256,
      [
        read(input), input.dtype.element, read(weight), weight.dtype.element, write(output),
        output.dtype.element, write(inverseRMS), width, epsilon,
      ])
  }

  package func rmsNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inverseRMS: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && inverseRMS.count == count)
    precondition(outputGradient.count == input.count && inputGradient.count == input.count)
    kernels.launch(
      "qlora_rms_norm_backward", grid: (count, 1, 1), threads: 256,
      [
        read(outputGradient), read(input), input.dtype.element, read(weight),
        weight.dtype.element, read(inverseRMS), write(inputGradient), width,
        Int32(accumulating ? 1 : 0),
      ])
  }

  package func layerNorm(
    _ input: Tensor, weight: Tensor, bias: Tensor, epsilon: Float, into output: Tensor,
    statistics: Tensor
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && output.count == input.count)
    precondition(statistics.count == 2 * count && bias.count == width)
    kernels.launch(
      "qlora_layer_norm", grid: (count, 1, 1), threads: 256,
      [
        read(input), input.dtype.element, read(weight), read(bias), write(output),
        output.dtype.element, write(statistics), width, epsilon,
      ])
  }

  package func layerNormBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, statistics: Tensor,
    inputGradient: Tensor, accumulating: Bool
  ) {
    let width = weight.count
    let count = input.count / max(1, width)
    precondition(count * width == input.count && statistics.count == 2 * count)
    precondition(outputGradient.count == input.count && inputGradient.count == input.count)
    kernels.launch(
      "qlora_layer_norm_backward", grid: (count, 1, 1), threads: 256,
      [
        read(outputGradient), read(input), input.dtype.element, read(weight), read(statistics),
        write(inputGradient), width, Int32(accumulating ? 1 : 0),
      ])
  }
}
