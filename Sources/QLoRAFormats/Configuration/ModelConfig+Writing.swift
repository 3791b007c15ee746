// config.json for a model that was read from another format.
import QLoRAJSON
import QLoRATensor

extension ModelConfig {
  /// The members that transformers' `LlamaConfig` needs to build the same model, with weights in
  /// `dtype`.
  package func huggingFaceJSON(dtype: DType) -> JSONValue {
    let members: [(String, JSONValue)] = [
      ("architectures", .list([.string("LlamaForCausalLM")])),
      ("attention_bias", .bool(attentionBias)),
      ("bos_token_id", Self.tokens(bosTokens)),
      ("dtype", .string(dtype.rawValue)),
      ("eos_token_id", Self.tokens(eosTokens)),
      ("head_dim", .int(headDim)),
      ("hidden_act", .string("silu")),
      ("hidden_size", .int(hidden)),
      ("intermediate_size", .int(intermediate)),
      ("max_position_embeddings", .int(maxPositions)),
      ("mlp_bias", .bool(mlpBias)),
      ("model_type", .string("llama")),
      ("num_attention_heads", .int(heads)),
      ("num_hidden_layers", .int(layers)),
      ("num_key_value_heads", .int(kvHeads)),
      ("rms_norm_eps", .double(Double("\(normEpsilon)") ?? Double(normEpsilon))),
    ]
    let rest: [(String, JSONValue)] = [
      ("rope_theta", .double(rope.theta)),
      ("tie_word_embeddings", .bool(tiesEmbeddings)),
      ("vocab_size", .int(vocabularySize)),
    ]
    return .dictionary(members + ropeScaling() + rest)
  }

  private static func tokens(_ ids: [Int]) -> JSONValue {
    ids.isEmpty ? .null : ids.count == 1 ? .int(ids[0]) : .list(ids.map { .int($0) })
  }

  private func ropeScaling() -> [(String, JSONValue)] {
    let scaling: [(String, JSONValue)]
    switch rope.scaling {
    case .none: return []
    case .linear(let factor):
      scaling = [("rope_type", .string("linear")), ("factor", .double(factor))]
    case .llama3(let factor, let low, let high, let original):
      scaling = [
        ("rope_type", .string("llama3")), ("factor", .double(factor)),
        ("low_freq_factor", .double(low)), ("high_freq_factor", .double(high)),
        ("original_max_position_embeddings", .int(original)),
      ]
    // Divisors are what GGUF keeps of Llama 3.1's scaling; these numbers are the published ones.
    case .divisors(let values):
      scaling = [
        ("rope_type", .string("llama3")), ("factor", .double(Double(values.max() ?? 1))),
        ("low_freq_factor", .double(1)), ("high_freq_factor", .double(4)),
        ("original_max_position_embeddings", .int(8192)),
      ]
    }
    return [("rope_scaling", .dictionary(scaling))]
  }
}
