// Attention of what is written to what was read.

import QLoRATensor

/// What the blocks that write look at.
enum ReadMemory {
  /// States `[rows read, hidden]`, sequence `s` in `bounds[s] ..< bounds[s+1]`.
  case states(Variable, bounds: [Int])
  /// Keys and values that a cache has of the one text.
  case cached(KeyValueCache)
}

/// `softmax(scale·QKᵀ)·V·Oᵀ` with keys and values of what was read.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
struct CrossAttention: Sendable {
  var query: AdaptedLinear
  var key: AdaptedLinear
  var value: AdaptedLinear
  var output: AdaptedLinear
  var layout: AttentionLayout
  /// The block's place in the cache.
  var index: Int

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    try body(&query)
    try body(&key)
    try body(&value)
    try body(&output)
  }

  /// The attention of all heads, before `output`.
  func mix(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    let query = tape.linears(
      input, [query], dtype: context.activationDType, dropout: context.dropout)[0]
    switch context.memory {
    case .states(let states, let bounds):
      let read = keysAndValues(states, context, on: tape)
      guard case .packed(let own) = context.attention else {
        preconditionFailure("packed states are read for packed rows")
      }
      return tape.attention(
        query: query, key: read[0], value: read[1], layout: layout,
        spans: AttentionSpans(queries: own, keys: bounds), bias: nil)
    case .cached(let cache):
      return cache.attendToRead(block: index, query: query, layout, on: tape)
    case nil: preconditionFailure("a block that writes has something to look at")
    }
  }

  func keysAndValues(
    _ states: Variable, _ context: ForwardContext, on tape: Tape
  ) -> [Variable] {
    tape.linears(states, [key, value], dtype: context.activationDType, dropout: context.dropout)
  }

  func project(_ mixed: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    tape.linears(mixed, [output], dtype: context.activationDType, dropout: context.dropout)[0]
  }
}
