// Normalization of token rows to mean 0 and variance 1.

extension Tape {
  /// `(x − mean)·rsqrt(variance + ε)·weight + bias`, per row of `[tokens, hidden]`; weight and bias
  /// `[hidden]` are frozen.
  /// Source: Ba et al. 2016, "Layer Normalization", arXiv:1607.06450, equation 4.
  ///
  /// Made again in backward, as `rmsNorm`.
  package func layerNorm(
    _ input: Variable, weight: Tensor, bias: Tensor, epsilon: Float
  ) -> Variable {
    let shape = input.value.shape
    let value = input.value
    let statistics = backend.allocate([shape.count / weight.count, 2], .float32)
    let normalized = { [backend] in
      let normalized = backend.allocate(shape, value.dtype)
      backend.layerNorm(
        value, weight: weight, bias: bias, epsilon: epsilon, into: normalized,
        statistics: statistics)
      return normalized
    }
    let result = output(normalized(), of: [input], remake: normalized)
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let target = gradientTarget(at: inputPlace)
      backend.layerNormBackward(
        gradient, input: value, weight: weight, statistics: statistics,
        inputGradient: target.tensor, accumulating: target.accumulating)
    }
    return result
  }
}
