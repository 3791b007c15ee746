// Attention between sequences: passed on, and counted as the products that it is.

extension CountingBackend {
  package func spanAttention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, spans: AttentionSpans,
    bias: DistanceBias?, into output: Tensor, logSumExp: Tensor
  ) {
    addAttention(layout, spans, matrices: 2)
    inner.spanAttention(
      query: query, key: key, value: value, layout: layout, spans: spans, bias: bias,
      into: output, logSumExp: logSumExp)
  }

  package func spanAttentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, spans: AttentionSpans, bias: DistanceBias?,
    queryGradient: Tensor, keyGradient: Tensor, valueGradient: Tensor
  ) {
    addAttention(layout, spans, matrices: 5)
    inner.spanAttentionBackward(
      outputGradient, query: query, key: key, value: value, output: output, logSumExp: logSumExp,
      layout: layout, spans: spans, bias: bias, queryGradient: queryGradient,
      keyGradient: keyGradient, valueGradient: valueGradient)
  }

  private func addAttention(_ layout: AttentionLayout, _ spans: AttentionSpans, matrices: Int) {
    let pairs = zip(
      zip(spans.queries, spans.queries.dropFirst()), zip(spans.keys, spans.keys.dropFirst())
    ).reduce(0) { $0 + ($1.0.1 - $1.0.0) * ($1.1.1 - $1.1.0) }
    // A multiplication and an addition each; a causal attention sees about half of the pairs.
    let share = layout.isCausal && spans.queries == spans.keys ? 0.5 : 1
    add(share * Double(2 * matrices * layout.heads * layout.headSize) * Double(pairs))
  }
}
