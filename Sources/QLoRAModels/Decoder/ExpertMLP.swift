// A gated MLP for each of many experts, of which every token takes the few that a router picks.

import QLoRATensor


/// `Σ_e w_e · down_e(activation(gate_e(x)) · up_e(x))` over the chosen experts e, where the weights
/// are the softmax of `router(x)`. The router is frozen; gradients flow through it to `x`.
/// Source: Jiang et al. 2024, "Mixtral of Experts", arXiv:2401.04088, section 2.1.
struct ExpertMLP: FeedForward {
  /// `[experts, hidden]`, without an adapter.
  var router: AdaptedLinear
  var gates: [AdaptedLinear]
  var ups: [AdaptedLinear]
  var downs: [AdaptedLinear]
  var activation: Activation
  /// How many experts a token takes.
  var chosen: Int
  var isNormalized: Bool

  var routers: [AdaptedLinear] { [router] }

  func expand(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Expansion {
    let logits = tape.linears(input, [router], dtype: .float32)[0]
    let routing = tape.route(logits, chosen: chosen, isNormalized: isNormalized)
    let parts = tape.expertLinears(
      tape.gather(input, routing), routing.ranges, [gates, ups], dtype: context.activationDType,
      dropout: context.dropout)
    return Expansion(
      values: [tape.activate(parts[0], parts[1], activation), routing.weights],
      routing: routing)
  }

  func contract(_ expansion: Expansion, _ context: ForwardContext, on tape: Tape) -> Variable {
    guard let routing = expansion.routing?.counting(expansion.values[1]) else {
      preconditionFailure("experts were expanded without a routing")
    }
    let rows = tape.expertLinears(
      expansion.values[0], routing.ranges, [downs], dtype: context.activationDType,
      dropout: context.dropout)
    return tape.combine(rows[0], routing)
  }

  mutating func forEachLinear(_ body: (inout AdaptedLinear) throws -> Void) rethrows {
    for index in gates.indices { try body(&gates[index]) }
    for index in ups.indices { try body(&ups[index]) }
    for index in downs.indices { try body(&downs[index]) }
  }
}
