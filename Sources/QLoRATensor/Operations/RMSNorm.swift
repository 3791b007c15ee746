// Root-mean-square normalisation of token rows.

extension Tape {
  /// `x · rsqrt(mean(x²) + ε) · weight`, per row of as many elements as the frozen `weight` has: of
  /// each token, or of each head.
  /// Source: Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
  ///
  /// The linears that read the rows need them once more in backward, where they are made again:
  /// that costs one pass over rows beside products with whole matrices.
  package func rmsNorm(_ input: Variable, weight: Tensor, epsilon: Float) -> Variable {
    let shape = input.value.shape
    let value = input.value
    let inverseRMS = backend.allocate([shape.count / weight.count], .float32)
    let normalized = { [backend] in
      let normalized = backend.allocate(shape, value.dtype)
      backend.rmsNorm(
        value, weight: weight, epsilon: epsilon, into: normalized, inverseRMS: inverseRMS)
      return normalized
    }
    let result = output(normalized(), of: [input], remake: normalized)
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let target = gradientTarget(at: inputPlace)
      backend.rmsNormBackward(
        gradient, input: value, weight: weight, inverseRMS: inverseRMS,
        inputGradient: target.tensor, accumulating: target.accumulating)
    }
    return result
  }
}
