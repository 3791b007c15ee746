// The same configuration as metadata and as the names and order of the tensors of a GGUF file.
import QLoRATensor

extension ModelConfig {
  /// What llama.cpp needs to build the model, as its converter spells it.
  package func ggufMetadata() -> GGUFWriter.Metadata {
    func key(_ name: String) -> String { "llama." + name }
    var pairs: GGUFWriter.Metadata = [
      (key("block_count"), .uint32(layers)), (key("context_length"), .uint32(maxPositions)),
      (key("embedding_length"), .uint32(hidden)),
      (key("feed_forward_length"), .uint32(intermediate)),
      (key("attention.head_count"), .uint32(heads)),
      (key("attention.head_count_kv"), .uint32(kvHeads)),
      (key("attention.key_length"), .uint32(headDim)),
      (key("attention.value_length"), .uint32(headDim)),
      (key("attention.layer_norm_rms_epsilon"), .float32(normEpsilon)),
      (key("rope.dimension_count"), .uint32(headDim)),
      (key("rope.freq_base"), .float32(Float(rope.theta))),
      (key("vocab_size"), .uint32(vocabularySize)),
    ]
    if case .linear(let factor) = rope.scaling {
      pairs.append((key("rope.scaling.type"), .string("linear")))
      pairs.append((key("rope.scaling.factor"), .float32(Float(factor))))
    }
    return pairs
  }

  /// Names and shapes of all weights, as Hugging Face folders call them, in the order in which
  /// llama.cpp lists them.
  package var weightShapes: [(name: String, shape: Shape)] {
    let table: Shape = [vocabularySize, hidden]
    let head = tiesEmbeddings ? [] : [(name: "lm_head.weight", shape: table)]
    let blocks = (0..<layers).flatMap { layer in
      blockShapes.map { (name: "model.layers.\(layer).\($0.name)", shape: $0.shape) }
    }
    return [(name: "model.embed_tokens.weight", shape: table)] + blocks
      + [(name: "model.norm.weight", shape: [hidden])] + head
  }

  private var blockShapes: [(name: String, shape: Shape)] {
    let (query, key) = (heads * headDim, kvHeads * headDim)
    func linear(_ name: String, _ out: Int, _ input: Int, _ bias: Bool) -> [(String, Shape)] {
      [(name + ".weight", [out, input])] + (bias ? [(name + ".bias", [out])] : [])
    }
    return [("input_layernorm.weight", [hidden])]
      + linear("self_attn.q_proj", query, hidden, attentionBias)
      + linear("self_attn.k_proj", key, hidden, attentionBias)
      + linear("self_attn.v_proj", key, hidden, attentionBias)
      + linear("self_attn.o_proj", hidden, query, attentionBias)
      + [("post_attention_layernorm.weight", [hidden])]
      + linear("mlp.gate_proj", intermediate, hidden, mlpBias)
      + linear("mlp.up_proj", intermediate, hidden, mlpBias)
      + linear("mlp.down_proj", hidden, intermediate, mlpBias)
  }
}

extension RopeParameters {
  /// What each frequency is divided by, `[headDim / 2]`, as GGUF stores the llama3 scaling; nil
  /// where the file's metadata say all.
  package func ggufDivisors(headDim: Int) -> [Float]? {
    switch scaling {
    case .none, .linear: nil
    case .divisors(let divisors): divisors
    case .llama3:
      zip(
        RopeParameters(theta: theta).inverseFrequencies(headDim: headDim),
        inverseFrequencies(headDim: headDim)
      ).map { $0 / $1 }
    }
  }
}
