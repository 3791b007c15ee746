// A block whose MLP reads what its attention has added to the residual stream.

import QLoRATensor

/// `h = x + s·post(attention(norm(x)))`, then `y = h + s·post(mlp(norm(h)))`; a norm that a family
/// does not have is left out.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norms in front: Xiong et al. 2020,
/// arXiv:2002.04745.
struct SequentialBlock: DecoderBlock {
  var attentionNorm: Norm?
  var attention: SelfAttention
  var attentionPostNorm: Norm?
  var mlpNorm: Norm?
  var mlp: any FeedForward
  var mlpPostNorm: Norm?
  /// s above.
  var residualScale: Float = 1
  /// Whether the norms behind are taken of sums: `h = post(x + s·attention(x))`, and so of the MLP.
  var normalizesSums = false

  var index: Int { attention.index }

  func forward(
    _ input: Variable, _ context: ForwardContext, keeping policy: ActivationPolicy, on tape: Tape
  ) -> Variable {
    if policy.keepsInputAlone {
      let inner = tape.checkpointed(input) { tape, input in
        let middle = joinAttention(input, attend(input, context, on: tape), context, tape)
        var expansion = expand(middle, context, on: tape)
        expansion.values.insert(middle, at: 0)
        return expansion
      }
      let expansion = Expansion(values: Array(inner.values[1...]), routing: inner.routing)
      return joinMLP(inner.values[0], expansion, context, tape)
    }
    let attended =
      policy == .residuals
      ? tape.checkpoint(input) { attend($1, context, on: $0) } : attend(input, context, on: tape)
    let middle = joinAttention(input, attended, context, tape)
    let expansion =
      policy == .everything
      ? expand(middle, context, on: tape)
      : tape.checkpointed(middle) { expand($1, context, on: $0) }
    return joinMLP(middle, expansion, context, tape)
  }

  private func attend(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    attention.mix(attentionNorm.map { tape.normalize(input, $0) } ?? input, context, on: tape)
  }

  private func joinAttention(
    _ input: Variable, _ mixed: Variable, _ context: ForwardContext, _ tape: Tape
  ) -> Variable {
    join(input, attention.project(mixed, context, on: tape), attentionPostNorm, tape)
  }

  private func expand(_ middle: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion {
    mlp.expand(mlpNorm.map { tape.normalize(middle, $0) } ?? middle, context, on: tape)
  }

  private func joinMLP(
    _ middle: Variable, _ expansion: Expansion, _ context: ForwardContext, _ tape: Tape
  ) -> Variable {
    join(middle, mlp.contract(expansion, context, on: tape), mlpPostNorm, tape)
  }

  private func join(
    _ input: Variable, _ change: Variable, _ norm: Norm?, _ tape: Tape
  ) -> Variable {
    let sum = residual(input, change, normalizesSums ? nil : norm, scale: residualScale, tape)
    guard normalizesSums, let norm else { return sum }
    return tape.normalize(sum, norm)
  }
}

extension SequentialBlock {
  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    try attention.forEachLinear(body)
    try mlp.forEachLinear(body)
  }

  var weights: [(module: String, weight: any PreparedWeight)] {
    blockWeights(attention, mlp)
  }

  mutating func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows {
    try attentionNorm.visit(body)
    try attention.forEachNorm(body)
    try attentionPostNorm.visit(body)
    try mlpNorm.visit(body)
    try mlpPostNorm.visit(body)
  }
}

/// Every matrix of both halves, in the order of loading.
func blockWeights(
  _ attention: SelfAttention, _ mlp: any FeedForward
) -> [(module: String, weight: any PreparedWeight)] {
  var (attention, mlp) = (attention, mlp)
  var all: [AdaptedLinear] = []
  attention.forEachLinear { all.append($0) }
  all += mlp.routers
  mlp.forEachLinear { all.append($0) }
  return all.map { ($0.name, $0.weight) }
}
