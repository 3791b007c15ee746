// A head's own products are a few rows: they are passed on, and counted as nothing.

extension CountingBackend {
  package func denseLinear(
    _ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor
  ) {
    inner.denseLinear(input, weight: weight, bias: bias, into: output)
  }

  package func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?
  ) {
    inner.denseLinearBackward(
      outputGradient, input: input, weight: weight, inputGradient: inputGradient,
      weightGradient: weightGradient, biasGradient: biasGradient)
  }

  package func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double {
    inner.crossEntropy(logits, targets: targets, gradient: gradient)
  }
}
