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
  ///
  /// A checkpoint ends before `o_proj` or `down_proj`: no gradient needs what those two put out, so
  /// backward never multiplies by them again.
  func forward(
    _ input: Variable, _ context: ForwardContext, keeping policy: ActivationPolicy = .everything,
    on tape: Tape
  ) -> Variable {
    if policy == .input {
      let inner = tape.checkpoint(input) { tape, input in
        let middle = join(input, attend(input, context, on: tape), attentionOutput, context, tape)
        return [middle, expand(middle, context, on: tape)]
      }
      return join(inner[0], inner[1], down, context, tape)
    }
    let attended =
      policy == .residuals
      ? tape.checkpoint(input) { attend($1, context, on: $0) } : attend(input, context, on: tape)
    let middle = join(input, attended, attentionOutput, context, tape)
    let expanded =
      policy == .everything
      ? expand(middle, context, on: tape)
      : tape.checkpoint(middle) { expand($1, context, on: $0) }
    return join(middle, expanded, down, context, tape)
  }

  /// The residual sum behind one half of the block: `residual + layer(values)`.
  private func join(
    _ residual: Variable, _ values: Variable, _ layer: AdaptedLinear, _ context: ForwardContext,
    _ tape: Tape
  ) -> Variable {
    let projected = tape.linears(
      values, [layer], dtype: context.activationDType, dropout: context.dropout)
    return tape.add(residual, projected[0])
  }

  /// The attention of all heads, before `o_proj`.
  private func attend(_ input: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    let projected = tape.linears(
      tape.rmsNorm(input, weight: inputNorm, epsilon: epsilon), [query, key, value],
      dtype: context.activationDType, dropout: context.dropout)
    let rotated = projected[..<2].map {
      tape.rotary(
        $0, headSize: layout.headSize, positions: context.positions, table: context.rotary)
    }
    switch context.attention {
    case .packed(let bounds):
      return tape.attention(
        query: rotated[0], key: rotated[1], value: projected[2], layout: layout, bounds: bounds)
    case .cached(let cache):
      return cache.attend(
        block: index, query: rotated[0], key: rotated[1], value: projected[2], layout, on: tape)
    }
  }

  /// The gated expansion, before `down_proj`.
  private func expand(_ middle: Variable, _ context: ForwardContext, on tape: Tape) -> Variable {
    let expanded = tape.linears(
      tape.rmsNorm(middle, weight: postAttentionNorm, epsilon: epsilon), [gate, up],
      dtype: context.activationDType, dropout: context.dropout)
    return tape.siluMultiply(expanded[0], expanded[1])
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
