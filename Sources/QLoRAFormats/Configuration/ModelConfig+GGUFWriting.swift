// The same configuration as metadata of a GGUF file.
import QLoRADiagnostics
import QLoRATensor

extension ModelConfig {
  /// Why a GGUF file cannot say what this model is; nil where it can.
  package var ggufObstacle: String? {
    if let experts = form.experts {
      if !experts.denseLayers.isEmpty {
        return "llama.cpp takes every layer of this family to have experts"
      }
      if experts.isNormalized != family.normalizesExpertsInGGUF {
        return "llama.cpp takes the weights of a token's experts "
          + (experts.isNormalized ? "as the router gives them" : "to add up to one")
      }
    }
    if family == .smollm3, form.unrotatedLayers != Set((0..<layers).filter { ($0 + 1) % 4 == 0 }) {
      return "llama.cpp takes every fourth layer to be without positions"
    }
    if case .dynamic = rope.scaling { return "llama.cpp has no dynamic rotary scaling" }
    if let period = family.ggufWindowPeriod, form.window > 0,
      form.windowedLayers != Set((0..<layers).filter { ($0 + 1) % period != 0 })
    {
      let word = [2: "second", 4: "fourth", 6: "sixth"][period] ?? "\(period)th"
      return "llama.cpp takes every \(word) layer to have no window"
    }
    if family == .olmoe, kvHeads != heads {
      return "llama.cpp takes every head of this family to have keys of its own"
    }
    if family == .exaone4, form.window > 0, layers != 64 {
      return "llama.cpp gives windows to models of 64 layers alone"
    }
    if family == .cohere2, form.window == 0 {
      return "llama.cpp takes layers with a window to be there"
    }
    if family == .olmo3, let windowed = form.windowedRope, windowed.theta != rope.theta {
      return "llama.cpp takes layers with and without a window to have one rotary base"
    }
    let usual = 1 / Float(headDim).squareRoot()
    if family.isGemma, let scale = form.attentionScale, abs(scale / usual - 1) > 1e-6 {
      let largest = 1 / Float(hidden / heads).squareRoot()
      let isLargest = layers == (family == .gemma2 ? 46 : 62)
      if !isLargest || abs(scale / largest - 1) > 1e-6 {
        return "llama.cpp scales the attention of this family by the size of heads alone"
      }
    }
    return nil
  }

  private var hasWindowsInGGUF: Bool { family.ggufWindowPeriod != nil }

  /// Where llama.cpp has no windows in a family, sequences are equal as long as none hides a token.
  private var ggufContext: Int {
    form.window > 0 && !hasWindowsInGGUF ? min(maxPositions, form.window) : maxPositions
  }

  /// What llama.cpp needs to build the model, as its converter spells it.
  package func ggufMetadata() -> GGUFWriter.Metadata {
    let isLayerNorm = form.norm.isCentered
    let pairs: GGUFWriter.Metadata = [
      ("block_count", .uint32(layers)), ("context_length", .uint32(ggufContext)),
      ("embedding_length", .uint32(hidden)),
      ("feed_forward_length", .uint32(intermediate)),
      ("attention.head_count", .uint32(heads)),
      ("attention.head_count_kv", .uint32(kvHeads)),
      ("attention.key_length", .uint32(headDim)),
      ("attention.value_length", .uint32(headDim)),
      (
        isLayerNorm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon",
        .float32(normEpsilon)
      ),
    ]
    let positions: GGUFWriter.Metadata = [
      ("rope.dimension_count", .uint32(rotaryDim)),
      ("rope.freq_base", .float32(Float(rope.theta))),
    ]
    let rest: GGUFWriter.Metadata = [("vocab_size", .uint32(vocabularySize))]
    return (pairs + (rotaryDim > 0 ? positions : []) + rest + ropeMetadata() + formMetadata()).map {
      (family.ggufArchitecture + "." + $0.key, $0.value)
    }
  }

  private func ropeMetadata() -> GGUFWriter.Metadata {
    func scaling(_ kind: String, _ factor: Double) -> GGUFWriter.Metadata {
      [
        ("rope.scaling.type", .string(kind)), ("rope.scaling.factor", .float32(Float(factor))),
      ]
    }
    let originalKey = "rope.scaling.original_context_length"
    switch rope.scaling {
    case .linear(let factor): return scaling("linear", factor)
    case .yarn(let yarn):
      return scaling("yarn", yarn.factor) + [
        (originalKey, .uint32(yarn.originalMaxPositions)),
        ("rope.scaling.yarn_beta_fast", .float32(Float(yarn.fast))),
        ("rope.scaling.yarn_beta_slow", .float32(Float(yarn.slow))),
      ]
    case .long(_, _, let magnitude, let original):
      return [
        (originalKey, .uint32(original)),
        ("rope.scaling.attn_factor", .float32(Float(magnitude))),
      ]
    case .none, .llama3, .divisors, .dynamic: return []
    }
  }

  private func formMetadata() -> GGUFWriter.Metadata {
    var pairs: GGUFWriter.Metadata = []
    // llama.cpp asks for the key in phi3, and makes no use of it.
    if hasWindowsInGGUF && form.window > 0 || family == .phi3 {
      pairs.append(("attention.sliding_window", .uint32(form.window)))
    }
    switch family {
    case .gemma2, .gemma3:
      if form.scoreCap > 0 { pairs.append(("attn_logit_softcapping", .float32(form.scoreCap))) }
      if form.logitCap > 0 { pairs.append(("final_logit_softcapping", .float32(form.logitCap))) }
    case .granite:
      pairs += [
        ("attention.scale", .float32(form.attentionScale ?? 1)),
        ("embedding_scale", .float32(form.embeddingScale)),
        ("residual_scale", .float32(form.residualScale)),
        ("logit_scale", .float32(form.logitDivisor)),
      ]
    case .cohere, .cohere2: pairs.append(("logit_scale", .float32(1 / form.logitDivisor)))
    case .mixtral, .qwen3Moe, .olmoe:
      pairs += [
        ("expert_count", .uint32(form.experts?.count ?? 0)),
        ("expert_used_count", .uint32(form.experts?.chosen ?? 0)),
      ]
      if family == .qwen3Moe {
        pairs.append(("expert_feed_forward_length", .uint32(intermediate)))
      }
    case .gptNeoX, .stablelm:
      pairs.append(("use_parallel_residual", .bool(form.isParallel)))
    default: break
    }
    return pairs
  }
}

extension ModelFamily {
  /// Whether llama.cpp makes the weights of a token's experts add up to one.
  var normalizesExpertsInGGUF: Bool { self != .olmoe }

  /// llama.cpp takes one layer of so many to have no window; nil where it has no windows at all.
  var ggufWindowPeriod: Int? {
    switch self {
    case .gemma2: 2
    case .olmo3, .exaone4, .cohere2: 4
    case .gemma3: 6
    default: nil
    }
  }
}

extension RopeParameters {
  /// Tensors of divisors `[rotaryDim / 2]`, as GGUF stores some kinds of scaling; empty where the
  /// file's metadata say all.
  package func ggufDivisors(rotaryDim: Int) -> [(name: String, values: [Float])] {
    switch scaling {
    case .none, .linear, .dynamic, .yarn: []
    case .divisors(let divisors): [("rope_freqs.weight", divisors)]
    case .long(let short, let long, _, _):
      [("rope_factors_long.weight", long), ("rope_factors_short.weight", short)]
    case .llama3:
      [
        (
          "rope_freqs.weight",
          zip(
            RopeParameters(theta: theta).inverseFrequencies(headDim: rotaryDim),
            inverseFrequencies(headDim: rotaryDim)
          ).map { $0 / $1 }
        )
      ]
    }
  }
}
