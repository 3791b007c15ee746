// Heads that are trained as a whole: passed on, and counted as the products that they are.

extension CountingBackend {
  package func denseLinear(
    _ input: Tensor, weight: Tensor, bias: Tensor?, into output: Tensor
  ) {
    add(2 * Double(input.shape[0] * weight.count))
    inner.denseLinear(input, weight: weight, bias: bias, into: output)
  }

  package func denseLinearBackward(
    _ outputGradient: Tensor, input: Tensor, weight: Tensor, inputGradient: Tensor?,
    weightGradient: Tensor, biasGradient: Tensor?
  ) {
    let products = inputGradient == nil ? 1 : 2
    add(2 * Double(products * input.shape[0] * weight.count))
    inner.denseLinearBackward(
      outputGradient, input: input, weight: weight, inputGradient: inputGradient,
      weightGradient: weightGradient, biasGradient: biasGradient)
  }

  package func crossEntropy(_ logits: Tensor, targets: [Int32], gradient: Tensor?) -> Double {
    inner.crossEntropy(logits, targets: targets, gradient: gradient)
  }
}
