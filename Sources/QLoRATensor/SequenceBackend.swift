// What a device must be able to do for models that read one sequence and write another: attention
// whose queries and keys are of different sequences, or whose scores depend on distances.

/// Sequences of queries and keys: those of sequence `s` are `queries[s] ..< queries[s+1]` and
/// `keys[s] ..< keys[s+1]`.
package struct AttentionSpans: Sendable, Hashable {
  package var queries: [Int]
  package var keys: [Int]
  /// How many keys of each sequence come before its first query: those of a cache.
  package var offset: Int

  package init(queries: [Int], keys: [Int], offset: Int = 0) {
    self.queries = queries
    self.keys = keys
    self.offset = offset
  }
}

/// What is added to a score by how far the key is from its query, for each head.
/// Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1.
package struct DistanceBias: Sendable {
  /// `[heads, 2·reach + 1]` float32: column `reach + d` belongs to a key that is `d` places behind
  /// the query; what is farther takes the outermost column.
  package let values: Tensor
  package let reach: Int

  package init(_ values: Tensor, reach: Int) {
    precondition(values.shape[1] == 2 * reach + 1)
    self.values = values
    self.reach = reach
  }
}

package protocol SequenceBackend: AnyObject, Sendable {
  /// `softmax(scale·QKᵀ + bias)·V` within the spans; `query [rows, heads·headSize]`, `key` and
  /// `value [keys, kvHeads·headSize]`; `logSumExp [heads, rows]` float32 is kept for backward.
  /// Causal, a query sees keys up to its own place, which is `spans.offset` behind its number.
  func spanAttention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, spans: AttentionSpans,
    bias: DistanceBias?, into output: Tensor, logSumExp: Tensor)
  /// Gradients are float32 and written whole.
  func spanAttentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, spans: AttentionSpans, bias: DistanceBias?,
    queryGradient: Tensor, keyGradient: Tensor, valueGradient: Tensor)
}
