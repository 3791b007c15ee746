// Routing to experts moves rows: nothing of it is counted.

extension CountingBackend {
  package func route(
    _ logits: Tensor, chosen: Int, isNormalized: Bool, into weights: Tensor
  ) -> [Int32] {
    inner.route(logits, chosen: chosen, isNormalized: isNormalized, into: weights)
  }

  package func routeBackward(
    _ weightGradient: Tensor, logits: Tensor, experts: [Int32], weights: Tensor,
    isNormalized: Bool, logitGradient: Tensor
  ) {
    inner.routeBackward(
      weightGradient, logits: logits, experts: experts, weights: weights,
      isNormalized: isNormalized, logitGradient: logitGradient)
  }

  package func gatherRows(_ input: Tensor, _ rows: [Int32], into output: Tensor) {
    inner.gatherRows(input, rows, into: output)
  }

  package func weightedRows(
    _ input: Tensor, places: [Int32], weights: Tensor?, into output: Tensor, accumulating: Bool
  ) {
    inner.weightedRows(
      input, places: places, weights: weights, into: output, accumulating: accumulating)
  }

  package func weightedRowsBackward(
    _ outputGradient: Tensor, input: Tensor, places: [Int32], weights: Tensor,
    inputGradient: Tensor, weightGradient: Tensor
  ) {
    inner.weightedRowsBackward(
      outputGradient, input: input, places: places, weights: weights,
      inputGradient: inputGradient, weightGradient: weightGradient)
  }
}
