// Attention between two sequences, or with scores that depend on distances.

extension Tape {
  /// `softmax(scale·QKᵀ + bias)·V` within `spans`; the bias is frozen.
  /// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3; Raffel et al. 2020,
  /// arXiv:1910.10683, section 2.1, for the bias.
  package func attention(
    query: Variable, key: Variable, value: Variable, layout: AttentionLayout,
    spans: AttentionSpans, bias: DistanceBias?
  ) -> Variable {
    let attended = backend.allocate(query.value.shape, query.value.dtype)
    let logSumExp = backend.allocate([layout.heads, query.value.shape[0]], .float32)
    backend.spanAttention(
      query: query.value, key: key.value, value: value.value, layout: layout, spans: spans,
      bias: bias, into: attended, logSumExp: logSumExp)
    let result = output(attended, of: [query, key, value])
    let (places, outputPlace) = ([query.place, key.place, value.place], result.place)
    let (queryValue, keyValue, valueValue) = (query.value, key.value, value.value)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let gradients = places.map { backend.allocate($0.shape, .float32) }
      backend.spanAttentionBackward(
        gradient, query: queryValue, key: keyValue, value: valueValue, output: attended,
        logSumExp: logSumExp, layout: layout, spans: spans, bias: bias,
        queryGradient: gradients[0], keyGradient: gradients[1], valueGradient: gradients[2])
      for (place, gradient) in zip(places, gradients) { accumulate(gradient, at: place) }
    }
    return result
  }
}
