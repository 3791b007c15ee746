// What families differ in, as metadata of GGUF and the tensors that are there say it, or as
// llama.cpp takes for granted.
import QLoRADiagnostics

extension GGUFMetadataReader {
  func form(
    layers: Int, hidden: Int, heads: Int, headDim: Int
  ) throws(Diagnostic) -> DecoderForm {
    var form = DecoderForm(family)
    for role in WeightRole.allCases where role.isLinear && !role.isOfExperts {
      let isOfFamily = family.names.name(role) != nil
      if isOfFamily, gguf.contains("blk.0.\(role.gguf(family)).bias") { form.biases.insert(role) }
    }
    if value("attention.scale") != nil {
      form.attentionScale = try float("attention.scale", default: 1)
    }
    try readWindow(&form, layers)
    switch family {
    case .gemma, .gemma2, .gemma3: try readGemma(&form, layers, hidden, heads, headDim)
    case .granite:
      form.embeddingScale = try float("embedding_scale", default: 1)
      form.residualScale = try float("residual_scale", default: 1)
      form.logitDivisor = try float("logit_scale", default: 1)
    case .olmo3:
      form.windowedRope = RopeParameters(theta: try double("rope.freq_base", default: 10_000))
    case .gptNeoX: form.isParallel = try bool("use_parallel_residual", default: true)
    case .stablelm:
      form.isParallel = !gguf.contains("blk.0.ffn_norm.weight")
      form.sharesNorm = form.isParallel
      if gguf.contains("blk.0.attn_q_norm.weight") { form.queryKeyNorm = .everyHead }
    case .smollm3:
      // Every fourth layer, which no key says.
      form.unrotatedLayers = Set(DecoderForm.layers(layers).filter { ($0 + 1) % 4 == 0 })
    case .mixtral, .qwen3Moe, .olmoe:
      form.experts = ExpertForm(
        count: try int("expert_count"), chosen: try int("expert_used_count"),
        isNormalized: try bool(
          "expert_weights_norm", default: family.normalizesExpertsInGGUF))
    case .cohere, .cohere2, .exaone4:
      if family != .exaone4 { form.logitDivisor = 1 / (try float("logit_scale", default: 1)) }
      if form.window > 0 {
        form.unrotatedLayers = Set(DecoderForm.layers(layers)).subtracting(form.windowedLayers)
      }
    case .seedOSS, .starcoder2, .glm4, .ernie45: break
    case .llama, .mistral, .qwen2, .qwen3, .phi3, .olmo2, .gpt2, .bert, .roberta, .distilbert, .t5:
      break
    }
    return form
  }

  private func readWindow(_ form: inout DecoderForm, _ layers: Int) throws(Diagnostic) {
    form.window = try int("attention.sliding_window", default: 0)
    guard form.window > 0 else { return }
    let all = DecoderForm.layers(layers)
    let pattern = value("attention.sliding_window_pattern")
    if case .bools(let flags)? = pattern?.array, flags.count == layers {
      form.windowedLayers = Set(all.filter { flags[$0] })
      return
    }
    let period = pattern?.int ?? family.ggufWindowPeriod ?? 0
    form.windowedLayers = Set(all.filter { period <= 0 || ($0 + 1) % period != 0 })
  }

  private func readGemma(
    _ form: inout DecoderForm, _ layers: Int, _ hidden: Int, _ heads: Int, _ headDim: Int
  ) throws(Diagnostic) {
    form.embeddingScale = Float(hidden).squareRoot()
    guard family != .gemma, heads > 0, headDim > 0 else { return }
    if form.attentionScale == nil {
      // The models of 27B have another scale, which no key says: they are told by their layers.
      let isLargest = layers == (family == .gemma2 ? 46 : 62)
      form.attentionScale = 1 / Float(isLargest ? hidden / heads : headDim).squareRoot()
    }
    form.scoreCap = try float(
      "attn_logit_softcapping", default: family == .gemma2 ? 50 : 0)
    form.logitCap = try float("final_logit_softcapping", default: family == .gemma2 ? 30 : 0)
    if family == .gemma3 {
      form.windowedRope = RopeParameters(theta: try double("rope.freq_base_swa", default: 10_000))
    }
  }

  // MARK: Rotary positions

  /// The base, and the scaling that metadata or tensors of divisors tell.
  func rope(pairs: Int) throws -> RopeParameters {
    let theta = try double("rope.freq_base", default: 10_000)
    let original = try int(
      "rope.scaling.original_context_length", default: try int("context_length"))
    guard original > 0 else {
      throw wrong("rope.scaling.original_context_length", "a positive integer")
    }
    if let divisors = try divisors("rope_freqs.weight", pairs) {
      return RopeParameters(theta: theta, scaling: .divisors(divisors))
    }
    if let long = try divisors("rope_factors_long.weight", pairs),
      let short = try divisors("rope_factors_short.weight", pairs)
    {
      return RopeParameters(
        theta: theta,
        scaling: .long(
          short: short, long: long, magnitude: try double("rope.scaling.attn_factor", default: 1),
          originalMaxPositions: original))
    }
    let kind = value("rope.scaling.type")?.string ?? "none"
    let factorKey = "rope.scaling.factor"
    switch kind {
    case "none": return RopeParameters(theta: theta)
    case "linear", "yarn":
      let factor = try double(factorKey)
      guard factor > 0 else { throw wrong(factorKey, "a positive number") }
      if kind == "linear" { return RopeParameters(theta: theta, scaling: .linear(factor: factor)) }
      return RopeParameters(
        theta: theta,
        scaling: .yarn(
          YarnScaling(
            factor: factor, fast: try double("rope.scaling.yarn_beta_fast", default: 32),
            slow: try double("rope.scaling.yarn_beta_slow", default: 1),
            originalMaxPositions: original)))
    default:
      throw Diagnostic(
        .ropeUnsupported,
        "rotary scaling \"\(kind)\"; known are none, linear, yarn and tensors of divisors",
        at: .file(gguf.path))
    }
  }

  private func divisors(_ name: String, _ pairs: Int) throws -> [Float]? {
    guard gguf.contains(name) else { return nil }
    let tensor = try gguf.tensor(name)
    guard tensor.extents == [pairs] else {
      throw Diagnostic(
        .configInvalid, "expected \(pairs) divisors, found shape \(tensor.extents)",
        at: .tensor(file: gguf.path, name: name))
    }
    var divisors = [Float](repeating: 1, count: tensor.count)
    try divisors.withUnsafeMutableBufferPointer {
      try gguf.readFloats(name, range: 0..<tensor.count, into: $0)
    }
    guard divisors.allSatisfy({ $0 > 0 && $0.isFinite }) else {
      throw Diagnostic(
        .configInvalid, "divisors must be positive", at: .tensor(file: gguf.path, name: name))
    }
    return divisors
  }
}
