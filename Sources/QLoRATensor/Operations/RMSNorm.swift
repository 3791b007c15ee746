// Root-mean-square normalisation of token rows.

extension Tape {
  /// `x · rsqrt(mean(x²) + ε) · weight`, per row of `[tokens, hidden]`; `weight [hidden]` is
  /// frozen.
  /// Source: Zhang & Sennrich 2019, arXiv:1910.07467, equation 4.
  package func rmsNorm(_ input: Variable, weight: Tensor, epsilon: Float) -> Variable {
    let shape = input.value.shape
    let normalized = backend.allocate(shape, input.value.dtype)
    let inverseRMS = backend.allocate([shape[0]], .float32)
    backend.rmsNorm(
      input.value, weight: weight, epsilon: epsilon, into: normalized, inverseRMS: inverseRMS)
    let result = output(normalized, of: [input])
    let (inputPlace, outputPlace, value) = (input.place, result.place, input.value)
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
