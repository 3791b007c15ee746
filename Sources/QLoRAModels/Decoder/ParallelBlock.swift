// A block whose attention and MLP read the same residual stream.

import QLoRATensor

/// `y = x + attention(norm₁(x)) + mlp(norm₂(x))`; some families have one norm for both.
/// Source: Wang & Komatsuzaki 2021, "GPT-J-6B"; Black et al. 2022, "GPT-NeoX-20B",
/// arXiv:2204.06745, section 2.1.
struct ParallelBlock: DecoderBlock {
  var attentionNorm: Norm
  var attention: SelfAttention
  /// nil where the MLP reads what the attention reads.
  var mlpNorm: Norm?
  var mlp: any FeedForward

  var index: Int { attention.index }

  func forward(
    _ input: Variable, _ context: ForwardContext, keeping policy: ActivationPolicy, on tape: Tape
  ) -> Variable {
    let expansion: Expansion
    let mixed: Variable
    switch policy {
    case .residuals, .input, .outside:
      let inner = tape.checkpointed(input) { tape, input in
        let mixed = attend(input, context, on: tape)
        var expansion = expand(input, context, on: tape)
        expansion.values.insert(mixed, at: 0)
        return expansion
      }
      mixed = inner.values[0]
      expansion = Expansion(values: Array(inner.values[1...]), routing: inner.routing)
    case .everything, .attention:
      mixed = attend(input, context, on: tape)
      expansion =
        policy == .everything
        ? expand(input, context, on: tape)
        : tape.checkpointed(input) { expand($1, context, on: $0) }
    }
    let attended = residual(input, attention.project(mixed, context, on: tape), nil, tape)
    return residual(attended, mlp.contract(expansion, context, on: tape), nil, tape)
  }

  private func attend(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    attention.mix(tape.normalize(input, attentionNorm), context, on: tape)
  }

  private func expand(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion {
    mlp.expand(tape.normalize(input, mlpNorm ?? attentionNorm), context, on: tape)
  }
}

extension ParallelBlock {
  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    try attention.forEachLinear(body)
    try mlp.forEachLinear(body)
  }

  var weights: [(module: String, weight: any PreparedWeight)] {
    blockWeights(attention, mlp)
  }

  mutating func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows {
    try body(&attentionNorm)
    try attention.forEachNorm(body)
    try mlpNorm.visit(body)
  }
}
