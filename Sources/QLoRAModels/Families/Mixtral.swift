// Mixtral, Qwen3-MoE and OLMoE: Llama's and Qwen3's attention, and experts in the place of the MLP.

/// `h = x + attention(norm(x))`, `y = h + Σ_e w_e·mlp_e(norm(h))` over the few experts e that a
/// router chooses for each token. Of Qwen3-MoE some layers may have one MLP for all.
/// Source: Jiang et al. 2024, "Mixtral of Experts", arXiv:2401.04088, section 2; Yang et al. 2025,
/// "Qwen3", arXiv:2505.09388, section 2; Muennighoff et al. 2024, "OLMoE", arXiv:2409.02060,
/// section 2.
extension BlockReader {
  func mixtral() throws -> any DecoderBlock {
    guard config.hasExperts(inBlock: index) else { return try llama() }
    let form = config.form
    let (count, chosen) = (form.experts?.count ?? 0, form.experts?.chosen ?? 0)
    return SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try attention(),
      mlpNorm: try norm(.mlpNorm),
      mlp: ExpertMLP(
        router: try linear(.router, quantized: false), gates: try experts(.expertGate, count),
        ups: try experts(.expertUp, count), downs: try experts(.expertDown, count),
        activation: form.activation, chosen: chosen,
        isNormalized: form.experts?.isNormalized ?? true))
  }
}
