// A block that writes: attention to what it has written, attention to what was read, and an MLP.

import QLoRATensor

/// `h = x + attention(norm(x))`, `c = h + cross(norm(h))`, `y = c + mlp(norm(c))`.
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.1; norms in front: Raffel et al. 2020,
/// arXiv:1910.10683, section 2.1.
struct WritingBlock: DecoderBlock {
  var attentionNorm: Norm
  var attention: SelfAttention
  var crossNorm: Norm
  var cross: CrossAttention
  var mlpNorm: Norm
  var mlp: any FeedForward

  var index: Int { attention.index }

  func forward(
    _ input: Variable, _ context: ForwardContext, keeping policy: ActivationPolicy, on tape: Tape
  ) -> Variable {
    if policy.keepsInputAlone {
      let inner = tape.checkpointed(input) { tape, input in
        let attended = join(input, attend(input, context, tape), context, tape)
        let crossed = joinRead(attended, look(attended, context, tape), context, tape)
        var expansion = expand(crossed, context, tape)
        expansion.values.insert(crossed, at: 0)
        return expansion
      }
      let expansion = Expansion(values: Array(inner.values[1...]), routing: inner.routing)
      return tape.add(inner.values[0], mlp.contract(expansion, context, on: tape))
    }
    let isLean = policy == .residuals
    let mixed =
      isLean
      ? tape.checkpoint(input) { attend($1, context, $0) } : attend(input, context, tape)
    let attended = join(input, mixed, context, tape)
    let looked =
      isLean
      ? tape.checkpoint(attended) { look($1, context, $0) } : look(attended, context, tape)
    let crossed = joinRead(attended, looked, context, tape)
    let expansion =
      policy == .everything
      ? expand(crossed, context, tape)
      : tape.checkpointed(crossed) { expand($1, context, $0) }
    return tape.add(crossed, mlp.contract(expansion, context, on: tape))
  }

  private func attend(_ input: Variable, _ context: ForwardContext, _ tape: Tape) -> Variable {
    attention.mix(tape.normalize(input, attentionNorm), context, on: tape)
  }

  private func join(
    _ input: Variable, _ mixed: Variable, _ context: ForwardContext, _ tape: Tape
  ) -> Variable {
    tape.add(input, attention.project(mixed, context, on: tape))
  }

  private func look(_ attended: Variable, _ context: ForwardContext, _ tape: Tape) -> Variable {
    cross.mix(tape.normalize(attended, crossNorm), context, on: tape)
  }

  private func joinRead(
    _ attended: Variable, _ looked: Variable, _ context: ForwardContext, _ tape: Tape
  ) -> Variable {
    tape.add(attended, cross.project(looked, context, on: tape))
  }

  private func expand(_ crossed: Variable, _ context: ForwardContext, _ tape: Tape) -> Expansion {
    mlp.expand(tape.normalize(crossed, mlpNorm), context, on: tape)
  }
}

extension WritingBlock {
  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    try attention.forEachLinear(body)
    try cross.forEachLinear(body)
    try mlp.forEachLinear(body)
  }

  mutating func forEachNorm(_ body: (inout Norm) throws -> Void) rethrows {
    try body(&attentionNorm)
    try body(&crossNorm)
    try body(&mlpNorm)
  }

  var weights: [(module: String, weight: any PreparedWeight)] {
    linears.map { ($0.name, $0.weight) }
  }
}
