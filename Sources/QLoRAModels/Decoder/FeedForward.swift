// The second half of a block: what widens each token by itself and narrows it again.

import QLoRATensor

protocol FeedForward: Sendable {
  /// Of `[tokens, hidden]`, normalized: what the last linear reads.
  func expand(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion
  /// The last linear, back to `[tokens, hidden]`.
  func contract(_ expansion: Expansion, _ context: ForwardContext, on tape: Tape) -> Variable

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows
  /// Matrices that are no linears and come before them in the order of loading.
  var routers: [AdaptedLinear] { get }
}

extension FeedForward {
  var routers: [AdaptedLinear] { [] }
}

/// `down(activation(gate(x)) · up(x))`.
/// Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202.
struct GatedMLP: FeedForward {
  /// Gate and up, or one linear for both.
  var inward: [AdaptedLinear]
  var down: AdaptedLinear
  var activation: Activation

  func expand(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion {
    if inward.count == 2 {
      let product = tape.activatedLinears(
        input, inward, activation, dtype: context.activationDType, dropout: context.dropout)
      return Expansion(values: [product])
    }
    let both = tape.linears(
      input, inward, dtype: context.activationDType, dropout: context.dropout)[0]
    let width = inward[0].weight.outFeatures / 2
    let parts = tape.split(both, widths: [width, width])
    return Expansion(values: [tape.activate(parts[0], parts[1], activation)])
  }

  func contract(_ expansion: Expansion, _ context: ForwardContext, on tape: Tape) -> Variable {
    tape.linears(
      expansion.values[0], [down], dtype: context.activationDType, dropout: context.dropout)[0]
  }

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    for index in inward.indices { try body(&inward[index]) }
    try body(&down)
  }
}

/// `down(activation(up(x)))`. Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.3.
struct PlainMLP: FeedForward {
  var up: AdaptedLinear
  var down: AdaptedLinear
  var activation: Activation

  func expand(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion {
    let wide = tape.activatedLinears(
      input, [up], activation, dtype: context.activationDType, dropout: context.dropout)
    return Expansion(values: [wide])
  }

  func contract(_ expansion: Expansion, _ context: ForwardContext, on tape: Tape) -> Variable {
    tape.linears(
      expansion.values[0], [down], dtype: context.activationDType, dropout: context.dropout)[0]
  }

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    try body(&up)
    try body(&down)
  }
}
