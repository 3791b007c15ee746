// One decoder block of the Llama family: attention and gated MLP, each behind a norm and with a
// residual.

import QLoRATensor

/// What a forward pass needs besides its input: where tokens stand and how they attend.
struct ForwardContext {
  var positions: [Int32]
  var attention: AttentionContext
  var rotary: RotaryTable
  var activationDType: DType
  /// nil = no dropout (evaluation, generation).
  var dropout: DropoutContext?
}

/// Whom a token may attend to.
enum AttentionContext {
  /// Causally inside `bounds[i] ..< bounds[i+1]` of the packed rows.
  case packed(bounds: [Int])
  /// To everything in the cache, which the new tokens join.
  case cached(KeyValueCache)
}

/// Weights of one block. Source: Touvron et al. 2023, arXiv:2302.13971, section 2.2; grouped
/// queries: Ainslie et al. 2023, arXiv:2305.13245.
struct LlamaBlock: Sendable {
  /// `[hidden]` float32 each.
  var inputNorm: Tensor
  var postAttentionNorm: Tensor
  var query: AdaptedLinear
  var key: AdaptedLinear
  var value: AdaptedLinear
  var attentionOutput: AdaptedLinear
  var gate: AdaptedLinear
  var up: AdaptedLinear
  var down: AdaptedLinear
  var layout: AttentionLayout
  var epsilon: Float
  /// This block's place in the key-value cache.
  var index: Int

  /// `[tokens, hidden]` to `[tokens, hidden]`.
  func forward(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    let attended = attention(
      tape.rmsNorm(input, weight: inputNorm, epsilon: epsilon), context, on: tape)
    let middle = tape.add(input, attended)
    let expanded = mlp(
      tape.rmsNorm(middle, weight: postAttentionNorm, epsilon: epsilon), context, on: tape)
    return tape.add(middle, expanded)
  }

  private func attention(
    _ normalized: Variable, _ context: ForwardContext, on tape: Tape
  ) -> Variable {
    let projected = tape.linears(
      normalized, [query, key, value], dtype: context.activationDType, dropout: context.dropout)
    let rotated = projected[..<2].map {
      tape.rotary(
        $0, headSize: layout.headSize, positions: context.positions, table: context.rotary)
    }
    let attended =
      switch context.attention {
      case .packed(let bounds):
        tape.attention(
          query: rotated[0], key: rotated[1], value: projected[2], layout: layout, bounds: bounds)
      case .cached(let cache):
        cache.attend(
          block: index, query: rotated[0], key: rotated[1], value: projected[2], layout, on: tape)
      }
    return tape.linears(
      attended, [attentionOutput], dtype: context.activationDType, dropout: context.dropout)[0]
  }

  private func mlp(_ normalized: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    let expanded = tape.linears(
      normalized, [gate, up], dtype: context.activationDType, dropout: context.dropout)
    let activated = tape.siluMultiply(expanded[0], expanded[1])
    return tape.linears(
      activated, [down], dtype: context.activationDType, dropout: context.dropout)[0]
  }
}

extension LlamaBlock {
  /// The linears in the order in which PEFT lists their parameters.
  static var linearPaths: [WritableKeyPath<LlamaBlock, AdaptedLinear> & Sendable] {
    [\.query, \.key, \.value, \.attentionOutput, \.gate, \.up, \.down]
  }

  /// Their names inside a block, in the same order.
  static let linearNames = [
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
    "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj",
  ]

  /// Whether a module's full name, such as `model.layers.0.mlp.up_proj`, is that of a linear.
  static func isLinear(_ module: String) -> Bool {
    let parts = module.split(separator: ".", maxSplits: 3)
    return parts.count == 4 && parts[..<2] == ["model", "layers"] && Int(parts[2]) != nil
      && linearNames.contains(String(parts[3]))
  }
}
