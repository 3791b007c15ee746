// Causal self-attention of all families: what differs are numbers, norms and how the projections
// are stored.

import QLoRATensor

/// `softmax(scale·QKᵀ)·V·Oᵀ` over heads, with rotated queries and keys.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2; grouped queries: Ainslie et al.
/// 2023, arXiv:2305.13245; norms of queries and keys: Henry et al. 2020, arXiv:2010.04245.
struct SelfAttention: Sendable {
  /// Which table turns queries and keys.
  enum Rotation: Sendable {
    case none, all, windowed
  }

  /// Queries, keys and values: a linear each, or one for all.
  var projections: [AdaptedLinear]
  /// Widths of queries, keys and values in each stretch of what the one linear puts out.
  var fusedWidths: [Int]?
  /// None, one for all heads, or one for each.
  var queryNorms: [Norm] = []
  var keyNorms: [Norm] = []
  var output: AdaptedLinear
  var layout: AttentionLayout
  var rotation: Rotation
  /// Whether a rotary pair is two neighbours; else one of each half of the head.
  var turnsNeighbours = false
  /// Of scores, by distance; nil where positions are elsewhere.
  var bias: DistanceBias?
  /// The block's place in the key-value cache.
  var index: Int

  mutating func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows {
    for index in queryNorms.indices { try body(&queryNorms[index]) }
    for index in keyNorms.indices { try body(&keyNorms[index]) }
  }

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    for index in projections.indices { try body(&projections[index]) }
    try body(&output)
  }

  /// The attention of all heads, `[tokens, heads·headSize]`, before `output`.
  func mix(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    var parts = tape.linears(
      input, projections, dtype: context.activationDType, dropout: context.dropout)
    if let fusedWidths { parts = tape.split(parts[0], widths: fusedWidths) }
    let query = turned(parts[0], queryNorms, context, tape)
    let key = turned(parts[1], keyNorms, context, tape)
    switch context.attention {
    case .packed(let bounds):
      if let bias {
        return tape.attention(
          query: query, key: key, value: parts[2], layout: layout,
          spans: AttentionSpans(queries: bounds, keys: bounds), bias: bias)
      }
      return tape.attention(
        query: query, key: key, value: parts[2], layout: layout, bounds: bounds)
    case .cached(let cache):
      return cache.attend(
        block: index, query: query, key: key, value: parts[2], layout, bias: bias, on: tape)
    }
  }

  func project(_ mixed: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    tape.linears(mixed, [output], dtype: context.activationDType, dropout: context.dropout)[0]
  }

  private func turned(
    _ input: Variable, _ norms: [Norm], _ context: ForwardContext, _ tape: Tape
  ) -> Variable {
    let input = normalized(input, norms, tape)
    let table: RotaryTable
    switch rotation {
    case .none: return input
    case .all: table = context.rotary.all
    case .windowed: table = context.rotary.windowed
    }
    let turn = turnsNeighbours ? tape.pairRotary : tape.rotary
    return turn(input, layout.headSize, context.positions, table)
  }

  private func normalized(_ input: Variable, _ norms: [Norm], _ tape: Tape) -> Variable {
    guard norms.count > 1 else {
      return norms.first.map { tape.normalize(input, $0) } ?? input
    }
    let heads = tape.split(input, widths: norms.map { _ in layout.headSize })
    return tape.joinColumns(zip(heads, norms).map { tape.normalize($0, $1) })
  }
}
