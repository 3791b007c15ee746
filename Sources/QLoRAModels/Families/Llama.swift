// Llama, and families whose block differs from it by numbers, biases or the form of a norm alone.

/// `h = x + s·attention(norm(x))`, `y = h + s·mlp(norm(h))`, with
/// `mlp(x) = down(act(gate(x))·up(x))`.
///
/// | family | differs by | source |
/// |---|---|---|
/// | Llama | | Touvron et al. 2023, arXiv:2302.13971, section 2.2 |
/// | Mistral | a window | Jiang et al. 2023, arXiv:2310.06825, section 2 |
/// | Qwen2 | biases of queries, keys and values | Yang et al. 2024, arXiv:2407.10671, section 2.2 |
/// | Qwen3 | norms of each head's q and k | Yang et al. 2025, arXiv:2505.09388, section 2 |
/// | Gemma | scaled embeddings, weights of norms around 1, GeGLU | arXiv:2403.08295, section 2 |
/// | SmolLM3 | every fourth layer without positions | Yang et al. 2025, arXiv:2501.18795 |
/// | Seed-OSS | biases of queries, keys and values | as transformers' SeedOss has it |
/// | ERNIE 4.5 | neighbours in rotary pairs | Baidu 2025, "ERNIE 4.5 Technical Report" |
/// | Granite | s and other multipliers | Yang et al. 2022, arXiv:2203.03466 |
extension BlockReader {
  func llama() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try attention(),
      mlpNorm: try norm(.mlpNorm), mlp: try gatedMLP(), residualScale: config.form.residualScale)
  }
}
