// Causal attention over packed sequences; a tiled softmax that never stores probabilities.

extension Tape {
  /// `softmax(scale·QKᵀ + causal mask)·V` inside each sequence `bounds[i] ..< bounds[i+1]`.
  /// `query [tokens, heads·headSize]`, `key`/`value [tokens, kvHeads·headSize]`.
  /// Source: Dao et al. 2022, "FlashAttention", arXiv:2205.14135, algorithms 1 and 4.
  package func attention(
    query: Variable, key: Variable, value: Variable, layout: AttentionLayout, bounds: [Int]
  ) -> Variable {
    let tokens = query.value.shape[0]
    let attended = backend.allocate(query.value.shape, query.value.dtype)
    let logSumExp = backend.allocate([layout.heads, tokens], .float32)
    backend.attention(
      query: query.value, key: key.value, value: value.value, layout: layout, bounds: bounds,
      into: attended, logSumExp: logSumExp)
    let result = output(attended, of: [query, key, value])
    record(result) { [self] in
      guard let gradient = takeGradient(of: result) else { return }
      let gradients = [query, key, value].map { backend.allocate($0.value.shape, .float32) }
      backend.attentionBackward(
        gradient, query: query.value, key: key.value, value: value.value, output: attended,
        logSumExp: logSumExp, layout: layout, bounds: bounds, queryGradient: gradients[0],
        keyGradient: gradients[1], valueGradient: gradients[2])
      for (variable, gradient) in zip([query, key, value], gradients) {
        accumulate(gradient, into: variable)
      }
    }
    return result
  }
}
