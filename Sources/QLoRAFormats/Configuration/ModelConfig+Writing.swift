// config.json for a model that was read from another format.
import QLoRAJSON
import QLoRATensor

extension ModelConfig {
  /// The members that the family's configuration in transformers needs to build the same model,
  /// with weights in `dtype`.
  package func huggingFaceJSON(dtype: DType) -> JSONValue {
    let keys = ConfigKeys(family)
    var members: [(String, JSONValue)] = [
      ("architectures", .list([.string(family.className)])),
      ("bos_token_id", Self.tokens(bosTokens)),
      ("dtype", .string(dtype.rawValue)),
      ("eos_token_id", Self.tokens(eosTokens)),
      (keys.activation, .string(activationName)),
      (keys.hidden, .int(hidden)),
      (keys.intermediate, .int(intermediate)),
      (keys.maxPositions, .int(maxPositions)),
      ("model_type", .string(family.rawValue)),
      (keys.heads, .int(heads)),
      (keys.layers, .int(layers)),
      (keys.normEpsilon, Self.number(normEpsilon)),
      ("tie_word_embeddings", .bool(tiesEmbeddings)),
      ("vocab_size", .int(vocabularySize)),
    ]
    if family != .gpt2 {
      members += ropeMembers()
    }
    if ![.gpt2, .gptNeoX].contains(family) {
      members += [("num_key_value_heads", .int(kvHeads)), ("head_dim", .int(headDim))]
    }
    members += formMembers()
    return .dictionary(members.sorted { $0.0 < $1.0 })
  }

  private static func tokens(_ ids: [Int]) -> JSONValue {
    ids.isEmpty ? .null : ids.count == 1 ? .int(ids[0]) : .list(ids.map { .int($0) })
  }

  /// The shortest decimal that is the same float.
  private static func number(_ value: Float) -> JSONValue {
    .double(Double("\(value)") ?? Double(value))
  }

  private var activationName: String {
    switch form.activation {
    case .silu: "silu"
    case .gelu: "gelu"
    case .geluTanh: family == .gpt2 ? "gelu_new" : "gelu_pytorch_tanh"
    case .relu: "relu"
    }
  }

  /// What only some families have.
  private func formMembers() -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = []
    let fraction = JSONValue.double(Double(rotaryDim) / Double(headDim))
    switch family {
    case .llama, .granite:
      members += [("attention_bias", .bool(attentionBias)), ("mlp_bias", .bool(mlpBias))]
    case .qwen3, .qwen3Moe, .olmo2, .olmo3, .olmoe, .smollm3:
      members.append(("attention_bias", .bool(attentionBias)))
    case .stablelm:
      members += [
        ("partial_rotary_factor", fraction), ("use_parallel_residual", .bool(form.isParallel)),
        ("use_qkv_bias", .bool(form.biases.contains(.query))),
        ("qk_layernorm", .bool(form.queryKeyNorm == .everyHead)),
      ]
    case .gptNeoX:
      members += [
        ("attention_bias", .bool(attentionBias)), ("rotary_pct", fraction),
        ("use_parallel_residual", .bool(form.isParallel)),
      ]
    case .phi3: members.append(("partial_rotary_factor", fraction))
    case .seedOSS:
      members += [
        ("attention_bias", .bool(form.biases.contains(.query))),
        ("attention_out_bias", .bool(attentionBias)), ("mlp_bias", .bool(mlpBias)),
      ]
    case .starcoder2, .ernie45: members.append(("use_bias", .bool(mlpBias)))
    case .glm4:
      members += [
        ("attention_bias", .bool(form.biases.contains(.query))),
        ("partial_rotary_factor", fraction),
      ]
    case .cohere, .cohere2:
      members += [
        ("attention_bias", .bool(attentionBias)),
        ("logit_scale", Self.number(1 / form.logitDivisor)),
      ]
    case .mistral, .qwen2, .gemma, .gemma2, .gemma3, .gpt2, .mixtral, .exaone4: break
    case .bert, .roberta, .distilbert, .t5: break
    }
    return members + scaleMembers() + windowMembers() + expertMembers()
  }

  private func scaleMembers() -> [(String, JSONValue)] {
    switch family {
    case .granite:
      return [
        ("embedding_multiplier", Self.number(form.embeddingScale)),
        ("residual_multiplier", Self.number(form.residualScale)),
        ("logits_scaling", Self.number(form.logitDivisor)),
        ("attention_multiplier", Self.number(form.attentionScale ?? 1)),
      ]
    case .gemma2, .gemma3:
      let scale = form.attentionScale ?? 1
      let caps: [(String, JSONValue)] = [
        ("attn_logit_softcapping", form.scoreCap > 0 ? Self.number(form.scoreCap) : .null),
        ("final_logit_softcapping", form.logitCap > 0 ? Self.number(form.logitCap) : .null),
      ]
      return [("query_pre_attn_scalar", Self.number((1 / (scale * scale)).rounded()))] + caps
    default: return []
    }
  }

  private func windowMembers() -> [(String, JSONValue)] {
    var members: [(String, JSONValue)] = []
    if family == .smollm3 {
      let flags = (0..<layers).map { JSONValue.int(form.unrotatedLayers.contains($0) ? 0 : 1) }
      members.append(("no_rope_layers", .list(flags)))
    }
    if family == .gemma3, let rope = form.windowedRope {
      members.append(("rope_local_base_freq", .double(rope.theta)))
    }
    switch family {
    case .mistral, .mixtral, .phi3, .starcoder2:
      members.append(("sliding_window", form.window > 0 ? .int(form.window) : .null))
    case .exaone4 where form.window == 0, .cohere2 where form.window == 0:
      members.append(("sliding_window", .null))
    case .qwen2, .qwen3, .gemma2, .gemma3, .olmo3, .qwen3Moe, .exaone4, .cohere2:
      guard form.window > 0 else { break }
      members.append(("sliding_window", .int(form.window)))
      if [.qwen2, .qwen3, .qwen3Moe].contains(family) {
        members.append(("use_sliding_window", .bool(true)))
      }
      if family != .qwen3Moe {
        let kinds = (0..<layers).map {
          form.windowedLayers.contains($0) ? "sliding_attention" : "full_attention"
        }
        members.append(("layer_types", .list(kinds.map { .string($0) })))
      }
    default: break
    }
    return members
  }

  private func expertMembers() -> [(String, JSONValue)] {
    guard let experts = form.experts else { return [] }
    let count = family == .mixtral ? "num_local_experts" : "num_experts"
    var members: [(String, JSONValue)] = [
      (count, .int(experts.count)), ("num_experts_per_tok", .int(experts.chosen)),
    ]
    if family == .qwen3Moe {
      members += [
        ("norm_topk_prob", .bool(experts.isNormalized)),
        ("intermediate_size", .int(experts.denseIntermediate ?? intermediate)),
        ("mlp_only_layers", .list(experts.denseLayers.sorted().map { .int($0) })),
      ]
    }
    if family == .olmoe { members.append(("norm_topk_prob", .bool(experts.isNormalized))) }
    return members
  }

  /// Base and scaling: at the top level, or by kinds of layers where transformers has them so.
  private func ropeMembers() -> [(String, JSONValue)] {
    let scaling = ropeScaling()
    let theta: [(String, JSONValue)] = [("rope_theta", .double(rope.theta))]
    guard family == .olmo3, let windowed = form.windowedRope else {
      return theta + (scaling.isEmpty ? [] : [("rope_scaling", .dictionary(scaling))])
    }
    let plain: [(String, JSONValue)] = [("rope_type", .string("default"))]
    let kinds: [(String, JSONValue)] = [
      ("full_attention", .dictionary((scaling.isEmpty ? plain : scaling) + theta)),
      ("sliding_attention", .dictionary(plain + [("rope_theta", .double(windowed.theta))])),
    ]
    return [("rope_parameters", .dictionary(kinds))]
  }

  private func ropeScaling() -> [(String, JSONValue)] {
    let scaling: [(String, JSONValue)]
    switch rope.scaling {
    case .none: return []
    case .linear(let factor):
      scaling = [("rope_type", .string("linear")), ("factor", .double(factor))]
    case .dynamic(let factor, _):
      scaling = [("rope_type", .string("dynamic")), ("factor", .double(factor))]
    case .llama3(let factor, let low, let high, let original):
      scaling = [
        ("rope_type", .string("llama3")), ("factor", .double(factor)),
        ("low_freq_factor", .double(low)), ("high_freq_factor", .double(high)),
        ("original_max_position_embeddings", .int(original)),
      ]
    case .yarn(let yarn):
      scaling = [
        ("rope_type", .string("yarn")), ("factor", .double(yarn.factor)),
        ("beta_fast", .double(yarn.fast)), ("beta_slow", .double(yarn.slow)),
        ("attention_factor", .double(yarn.magnitude)), ("truncate", .bool(yarn.isTruncated)),
        ("original_max_position_embeddings", .int(yarn.originalMaxPositions)),
      ]
    case .long(let short, let long, let magnitude, let original):
      scaling = [
        ("rope_type", .string("longrope")), ("attention_factor", .double(magnitude)),
        ("short_factor", .list(short.map(Self.number))),
        ("long_factor", .list(long.map(Self.number))),
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
    return scaling
  }
}
