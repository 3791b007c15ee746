// The parts of a decoder that have weights, and what families call them: one table per family gives
// names in both kinds of files, shapes, and which are linears.
import QLoRATensor

/// A module inside a block; the raw value is its name in GGUF.
package enum WeightRole: String, Sendable, Hashable, CaseIterable {
  case attentionNorm = "attn_norm"
  case query = "attn_q"
  case key = "attn_k"
  case value = "attn_v"
  case queryKeyValue = "attn_qkv"
  case queryNorm = "attn_q_norm"
  case keyNorm = "attn_k_norm"
  case attentionOutput = "attn_output"
  case attentionPostNorm = "post_attention_norm"
  /// Attention to what another stack has read.
  case crossNorm = "cross_attn_norm"
  case crossQuery = "cross_attn_q"
  case crossKey = "cross_attn_k"
  case crossValue = "cross_attn_v"
  case crossOutput = "cross_attn_output"
  case mlpNorm = "ffn_norm"
  case gate = "ffn_gate"
  case up = "ffn_up"
  /// Gate and up in one; GGUF calls it as it calls `up`.
  case gateUp = "ffn_up.gate_up"
  case down = "ffn_down"
  case mlpPostNorm = "post_ffw_norm"
  case router = "ffn_gate_inp"
  case expertGate = "ffn_gate_exps"
  case expertUp = "ffn_up_exps"
  case expertDown = "ffn_down_exps"

  package var gguf: String { self == .gateUp ? WeightRole.up.rawValue : rawValue }

  /// The same, where a family has another name for it there.
  package func gguf(_ family: ModelFamily) -> String {
    // llama.cpp names the norm by where it stands, whatever reads it.
    self == .mlpNorm && family == .seedOSS ? WeightRole.attentionPostNorm.rawValue : gguf
  }

  package var isNorm: Bool { rawValue.hasSuffix("_norm") }
  /// Whether there is one of it for every expert.
  package var isOfExperts: Bool { rawValue.hasSuffix("_exps") }
  /// Whether it is quantized and may have an adapter.
  package var isLinear: Bool { !isNorm && self != .router }
}

/// What a family calls its modules in Hugging Face folders.
package struct FamilyNames: Sendable {
  package var embedding = "model.embed_tokens"
  /// Learned positions; nil where there are none.
  package var positions: String?
  package var finalNorm = "model.norm"
  package var head = "lm_head"
  /// What encoders add to embedded tokens: a row for the first or second text; and the norm of the
  /// sum.
  package var tokenTypes: String?
  package var embeddingNorm: String?
  /// In front of a layer's number.
  package var layers = "model.layers."
  /// Inside a block, in the order of GGUF files: all that some layer of some model has. `*` stands
  /// for the number of an expert or a head, whose tensors lie in one in GGUF files.
  package var modules: [(role: WeightRole, name: String)]

  /// The stack that reads, in front of the one that writes; nil where there is one alone.
  package var reader: ReaderNames?

  package func name(_ role: WeightRole) -> String? { modules.first { $0.role == role }?.name }
}

/// What a family calls the stack of blocks that reads a text for the stack that writes another.
package struct ReaderNames: Sendable {
  package var layers: String
  package var modules: [(role: WeightRole, name: String)]
  package var finalNorm: String
  /// `[buckets, heads]`: biases of scores by distance, of this stack and of the one that writes.
  package var distances: (reading: String, writing: String)
}

extension ModelFamily {
  private static let attention: [(WeightRole, String)] = [
    (.query, "self_attn.q_proj"), (.key, "self_attn.k_proj"), (.value, "self_attn.v_proj"),
    (.attentionOutput, "self_attn.o_proj"),
  ]
  private static let mlp: [(WeightRole, String)] = [
    (.gate, "mlp.gate_proj"), (.up, "mlp.up_proj"), (.down, "mlp.down_proj"),
  ]
  private static let queryKeyNorms: [(WeightRole, String)] = [
    (.queryNorm, "self_attn.q_norm"), (.keyNorm, "self_attn.k_norm"),
  ]
  private static let inputNorm: [(WeightRole, String)] = [(.attentionNorm, "input_layernorm")]
  private static let middleNorm: [(WeightRole, String)] = [(.mlpNorm, "post_attention_layernorm")]
  private static let postNorm: [(WeightRole, String)] = [
    (.attentionPostNorm, "post_attention_layernorm")
  ]
  private static let lastNorm: [(WeightRole, String)] = [
    (.mlpPostNorm, "post_feedforward_layernorm")
  ]

  package var names: FamilyNames {
    let (attention, mlp) = (Self.attention, Self.mlp)
    switch self {
    case .llama, .mistral, .qwen2, .gemma, .smollm3, .granite, .seedOSS, .ernie45:
      return FamilyNames(modules: Self.inputNorm + attention + Self.middleNorm + mlp)
    case .stablelm:
      return FamilyNames(
        modules: Self.inputNorm + attention
          + [
            (.queryNorm, "self_attn.q_layernorm.norms.*"),
            (.keyNorm, "self_attn.k_layernorm.norms.*"),
          ] + Self.middleNorm + mlp)
    case .qwen3:
      return FamilyNames(
        modules: Self.inputNorm + attention + Self.queryKeyNorms + Self.middleNorm + mlp)
    case .gemma2, .gemma3:
      let norms = self == .gemma3 ? Self.queryKeyNorms : []
      return FamilyNames(
        modules: Self.inputNorm + attention + norms + Self.postNorm
          + [(.mlpNorm, "pre_feedforward_layernorm")] + mlp + Self.lastNorm)
    case .olmo2, .olmo3, .exaone4:
      return FamilyNames(
        modules: attention + Self.queryKeyNorms + Self.postNorm + mlp + Self.lastNorm)
    case .phi3:
      return FamilyNames(
        modules: Self.inputNorm
          + [(.queryKeyValue, "self_attn.qkv_proj"), (.attentionOutput, "self_attn.o_proj")]
          + Self.middleNorm + [(.gateUp, "mlp.gate_up_proj"), (.down, "mlp.down_proj")])
    case .gptNeoX:
      return FamilyNames(
        embedding: "gpt_neox.embed_in", finalNorm: "gpt_neox.final_layer_norm", head: "embed_out",
        layers: "gpt_neox.layers.",
        modules: Self.inputNorm
          + [(.queryKeyValue, "attention.query_key_value"), (.attentionOutput, "attention.dense")]
          + Self.middleNorm + [(.up, "mlp.dense_h_to_4h"), (.down, "mlp.dense_4h_to_h")])
    case .gpt2:
      return FamilyNames(
        embedding: "transformer.wte", positions: "transformer.wpe",
        finalNorm: "transformer.ln_f", layers: "transformer.h.",
        modules: [
          (.attentionNorm, "ln_1"), (.queryKeyValue, "attn.c_attn"),
          (.attentionOutput, "attn.c_proj"), (.mlpNorm, "ln_2"), (.up, "mlp.c_fc"),
          (.down, "mlp.c_proj"),
        ])
    case .t5: return Self.namesOfT5
    case .bert: return Self.encoder("bert")
    case .roberta: return Self.encoder("roberta")
    case .distilbert: return Self.distilled
    case .mixtral:
      return FamilyNames(
        modules: Self.inputNorm + attention + Self.middleNorm
          + Self.experts("block_sparse_moe", gate: "w1", up: "w3", down: "w2"))
    case .cohere, .cohere2: return FamilyNames(modules: Self.inputNorm + attention + mlp)
    case .starcoder2: return Self.namesOfStarCoder
    case .glm4: return Self.namesOfGLM
    case .qwen3Moe, .olmoe:
      return FamilyNames(
        modules: Self.inputNorm + attention + Self.queryKeyNorms + Self.middleNorm + mlp
          + Self.experts("mlp", gate: "gate_proj", up: "up_proj", down: "down_proj"))
    }
  }

  private static let namesOfGLM = FamilyNames(
    modules: inputNorm + attention + [(.attentionPostNorm, "post_self_attn_layernorm")]
      + middleNorm
      + [
        (.gateUp, "mlp.gate_up_proj"), (.down, "mlp.down_proj"),
        (.mlpPostNorm, "post_mlp_layernorm"),
      ])

  private static let namesOfStarCoder = FamilyNames(
    modules: inputNorm + attention + middleNorm + [(.up, "mlp.c_fc"), (.down, "mlp.c_proj")])

  private static func encoder(_ stem: String) -> FamilyNames {
    let embeddings = stem + ".embeddings."
    return FamilyNames(
      embedding: embeddings + "word_embeddings", positions: embeddings + "position_embeddings",
      tokenTypes: embeddings + "token_type_embeddings", embeddingNorm: embeddings + "LayerNorm",
      layers: stem + ".encoder.layer.",
      modules: [
        (.query, "attention.self.query"), (.key, "attention.self.key"),
        (.value, "attention.self.value"), (.attentionOutput, "attention.output.dense"),
        (.attentionPostNorm, "attention.output.LayerNorm"), (.up, "intermediate.dense"),
        (.down, "output.dense"), (.mlpPostNorm, "output.LayerNorm"),
      ])
  }

  private static let distilled: FamilyNames = {
    let embeddings = "distilbert.embeddings."
    return FamilyNames(
      embedding: embeddings + "word_embeddings", positions: embeddings + "position_embeddings",
      embeddingNorm: embeddings + "LayerNorm", layers: "distilbert.transformer.layer.",
      modules: [
        (.query, "attention.q_lin"), (.key, "attention.k_lin"), (.value, "attention.v_lin"),
        (.attentionOutput, "attention.out_lin"), (.attentionPostNorm, "sa_layer_norm"),
        (.up, "ffn.lin1"), (.down, "ffn.lin2"), (.mlpPostNorm, "output_layer_norm"),
      ])
  }()

  private static func experts(
    _ holder: String, gate: String, up: String, down: String
  ) -> [(WeightRole, String)] {
    let experts = holder + ".experts.*."
    return [
      (.router, holder + ".gate"), (.expertGate, experts + gate), (.expertUp, experts + up),
      (.expertDown, experts + down),
    ]
  }
}
