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
    launchRows(
      "qlora_rms_norm", count, width: width,
      [
        read(input), input.dtype.element, read(weight), weight.dtype.element, write(output),
        output.dtype.element, write(inverseRMS), epsilon,
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
    launchRows(
      "qlora_rms_norm_backward", count, width: width,
      [
        read(outputGradient), read(input), input.dtype.element, read(weight),
        weight.dtype.element, read(inverseRMS), write(inputGradient),
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
    launchRows(
      "qlora_layer_norm", count, width: width,
      [
        read(input), input.dtype.element, read(weight), read(bias), write(output),
        output.dtype.element, write(statistics), epsilon,
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
    launchRows(
      "qlora_layer_norm_backward", count, width: width,
      [
        read(outputGradient), read(input), input.dtype.element, read(weight), read(statistics),
        write(inputGradient), Int32(accumulating ? 1 : 0),
      ])
  }
}
