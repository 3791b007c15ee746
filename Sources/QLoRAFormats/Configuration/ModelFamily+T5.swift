// What T5 calls its modules: layers of a block are numbered, and the stack that writes has one
// more.

extension ModelFamily {
  static let namesOfT5: FamilyNames = {
    let first = attention("layer.0.SelfAttention.") + [(.attentionNorm, "layer.0.layer_norm")]
    let cross: [(WeightRole, String)] = [
      (.crossQuery, "layer.1.EncDecAttention.q"), (.crossKey, "layer.1.EncDecAttention.k"),
      (.crossValue, "layer.1.EncDecAttention.v"), (.crossOutput, "layer.1.EncDecAttention.o"),
      (.crossNorm, "layer.1.layer_norm"),
    ]
    let bias = "block.0.layer.0.SelfAttention.relative_attention_bias"
    return FamilyNames(
      embedding: "shared", finalNorm: "decoder.final_layer_norm", layers: "decoder.block.",
      modules: first + cross + mlp("layer.2."),
      reader: ReaderNames(
        layers: "encoder.block.", modules: first + mlp("layer.1."),
        finalNorm: "encoder.final_layer_norm",
        distances: (reading: "encoder." + bias, writing: "decoder." + bias)))
  }()

  private static func attention(_ holder: String) -> [(WeightRole, String)] {
    [
      (.query, holder + "q"), (.key, holder + "k"), (.value, holder + "v"),
      (.attentionOutput, holder + "o"),
    ]
  }

  /// With a gate `up` is called otherwise: `ModelConfig.modules` has what a model has.
  private static func mlp(_ layer: String) -> [(WeightRole, String)] {
    let holder = layer + "DenseReluDense."
    return [
      (.gate, holder + "wi_0"), (.up, holder + "wi_1"), (.down, holder + "wo"),
      (.mlpNorm, layer + "layer_norm"),
    ]
  }
}
