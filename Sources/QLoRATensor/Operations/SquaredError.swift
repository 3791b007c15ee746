// The loss of models that predict numbers.

extension Tape {
  /// Σ over samples of `weights[s]` times the mean of (prediction − target)² over the sample's
  /// rows `bounds[s] ..< bounds[s+1]`. On a recording tape the prediction gets its gradient.
  package func squaredError(
    _ prediction: Variable, target: Tensor, weights: [Float], bounds: [Int]
  ) -> Double {
    let gradient =
      prediction.needsGradient ? backend.allocate(prediction.value.shape, .float32) : nil
    let sum = backend.squaredError(
      prediction.value, target: target, weights: weights, bounds: bounds, gradient: gradient)
    if let gradient { accumulate(gradient, into: prediction) }
    return sum
  }
}
