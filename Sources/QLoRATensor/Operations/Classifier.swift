// A head that is trained as a whole: the rows that it reads, its linears, and the loss.

/// A linear all of whose weights are trained.
package struct TrainedLinear: Sendable {
  /// `[out, in]`.
  package let weight: Parameter
  /// `[out]`.
  package let bias: Parameter?

  package init(weight: Parameter, bias: Parameter?) {
    self.weight = weight
    self.bias = bias
  }

  package var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
}

extension Tape {
  /// Some rows of `[tokens, width]`: `[rows, width]`. No row is named twice.
  package func pick(_ input: Variable, _ rows: [Int32]) -> Variable {
    let shape = input.value.shape
    let picked = backend.allocate([rows.count, shape[1]], input.value.dtype)
    backend.gatherRows(input.value, rows, into: picked)
    let result = output(picked, of: [input])
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      // One more row, of zeros, stands for all tokens that were not picked.
      let padded = backend.allocate([rows.count + 1, shape[1]], .float32)
      backend.convert(gradient, into: padded.rows(0..<rows.count))
      backend.convert(
        Tensor(zeros: [1, shape[1]]), into: padded.rows(rows.count..<rows.count + 1))
      var places = [Int32](repeating: Int32(rows.count), count: shape[0])
      for (place, row) in rows.enumerated() { places[Int(row)] = Int32(place) }
      let target = gradientTarget(at: inputPlace)
      backend.weightedRows(
        padded, places: places, weights: nil, into: target.tensor,
        accumulating: target.accumulating)
    }
    return result
  }

  /// `x·Wᵀ + b`, `[rows, out]` float32; weight and bias are parameters.
  package func linear(_ input: Variable, _ layer: TrainedLinear) -> Variable {
    let (weight, bias) = (layer.weight, layer.bias)
    let product = backend.allocate([input.value.shape[0], weight.value.shape[0]], .float32)
    backend.denseLinear(input.value, weight: weight.value, bias: bias?.value, into: product)
    let result = output(product, of: [input], hasParameters: true)
    let (kept, inputPlace, outputPlace) = (input.kept, input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let inputGradient =
        inputPlace.isWanted ? backend.allocate(inputPlace.shape, .float32) : nil
      backend.denseLinearBackward(
        gradient, input: kept(), weight: weight.value, inputGradient: inputGradient,
        weightGradient: weight.gradient, biasGradient: bias?.gradient)
      if let inputGradient { accumulate(inputGradient, at: inputPlace) }
    }
    return result
  }

  /// Σ over rows of `−log softmax(logits)[target]`; where recording, also the start of backward.
  package func crossEntropy(_ logits: Variable, targets: [Int32]) -> Double {
    guard logits.needsGradient else {
      return backend.crossEntropy(logits.value, targets: targets, gradient: nil)
    }
    let gradient = backend.allocate(logits.value.shape, .float32)
    let sum = backend.crossEntropy(logits.value, targets: targets, gradient: gradient)
    accumulate(gradient, into: logits)
    return sum
  }
}
