// Attention over packed sequences; a tiled softmax that never stores probabilities.

extension Tape {
  /// `softmax(scale·QKᵀ + mask)·V` inside each sequence `bounds[i] ..< bounds[i+1]`.
  /// The mask is causal or none, as the layout says.
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
    let (places, outputPlace) = ([query.place, key.place, value.place], result.place)
    let (queryValue, keyValue, valueValue) = (query.value, key.value, value.value)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let gradients = places.map { backend.allocate($0.shape, .float32) }
      backend.attentionBackward(
        gradient, query: queryValue, key: keyValue, value: valueValue, output: attended,
        logSumExp: logSumExp, layout: layout, bounds: bounds, queryGradient: gradients[0],
        keyGradient: gradients[1], valueGradient: gradients[2])
      for (place, gradient) in zip(places, gradients) { accumulate(gradient, at: place) }
    }
    return result
  }
}
