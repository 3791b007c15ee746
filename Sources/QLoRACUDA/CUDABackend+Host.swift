// Operations that the host computes, since a GPU has no kernel of ours for them: those of image
// models and of heads that tell classes apart. Tensors bring their
// bytes along.
import QLoRATensor

extension CUDABackend {
  // MARK: Heads that tell classes apart
  package func denseLinear(_ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor) {
    host.denseLinear(input, weight: weight, bias: bias, into: output)
  }

  package func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?
  ) {
    host.denseLinearBackward(
      outputGradient, input: input, weight: weight, inputGradient: inputGradient,
      weightGradient: weightGradient, biasGradient: biasGradient)
  }

  package func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double {
    host.crossEntropy(logits, targets: targets, gradient: gradient)
  }

  // MARK: Image models
  package func modulatedNorm(
    _ input: Tensor, shift: Tensor, scale: Tensor, bounds: [Int], epsilon: Float,
    into output: Tensor, statistics: Tensor
  ) {
    host.modulatedNorm(
      input, shift: shift, scale: scale, bounds: bounds, epsilon: epsilon, into: output,
      statistics: statistics)
  }

  package func modulatedNormBackward(
    _ outputGradient: Tensor, input: Tensor, scale: Tensor, statistics: Tensor, bounds: [Int],
    inputGradient: Tensor?, accumulating: Bool, shiftGradient: Tensor?, scaleGradient: Tensor?
  ) {
    host.modulatedNormBackward(
      outputGradient, input: input, scale: scale, statistics: statistics, bounds: bounds,
      inputGradient: inputGradient, accumulating: accumulating, shiftGradient: shiftGradient,
      scaleGradient: scaleGradient)
  }

  package func gatedAdd(
    _ residual: Tensor, _ values: Tensor, gate: Tensor, bounds: [Int], into output: Tensor
  ) {
    host.gatedAdd(residual, values, gate: gate, bounds: bounds, into: output)
  }

  package func gatedAddBackward(
    _ outputGradient: Tensor, values: Tensor?, gate: Tensor, bounds: [Int],
    valuesGradient: Tensor?, gateGradient: Tensor?
  ) {
    host.gatedAddBackward(
      outputGradient, values: values, gate: gate, bounds: bounds, valuesGradient: valuesGradient,
      gateGradient: gateGradient)
  }

  package func pairRotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    host.pairRotary(
      tensor, headSize: headSize, positions: positions, cosines: cosines, sines: sines,
      inverse: inverse)
  }

  package func apply(_ function: ElementFunction, to input: Tensor, into output: Tensor) {
    host.apply(function, to: input, into: output)
  }

  package func applyBackward(
    _ function: ElementFunction, _ outputGradient: Tensor, input: Tensor, inputGradient: Tensor
  ) {
    host.applyBackward(function, outputGradient, input: input, inputGradient: inputGradient)
  }

  package func copyColumns(
    _ input: Tensor, column: Int, count: Int, into output: Tensor, outputColumn: Int
  ) {
    host.copyColumns(
      input, column: column, count: count, into: output, outputColumn: outputColumn)
  }

  package func squaredError(
    _ prediction: Tensor, target: Tensor, weights: [Float], bounds: [Int], gradient: Tensor?
  ) -> Double {
    host.squaredError(
      prediction, target: target, weights: weights, bounds: bounds, gradient: gradient)
  }

  package func windows(
    _ input: Tensor, _ window: ImageWindow, pixels: Range<Int>, into output: Tensor
  ) {
    host.windows(input, window, pixels: pixels, into: output)
  }

  package func groupNorm(
    _ input: Tensor, groups: Int, weight: Tensor, bias: Tensor, epsilon: Float,
    activates: Bool, into output: Tensor
  ) {
    host.groupNorm(
      input, groups: groups, weight: weight, bias: bias, epsilon: epsilon, activates: activates,
      into: output)
  }

  package func biasedSoftmax(
    _ scores: Tensor, scale: Float, biases: Tensor?, first: Int, into output: Tensor
  ) {
    host.biasedSoftmax(scores, scale: scale, biases: biases, first: first, into: output)
  }
}
