// StableLM and Cohere's Command R: layer norms, both halves in turn or at once.

/// `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`; or `y = x + attention(n) + mlp(n)` with
/// `n = norm(x)`, as Command R always has it.
/// Source: Bellagente et al. 2024, "Stable LM 2 1.6B Technical Report", arXiv:2402.17834, section
/// 2.3; Command R as transformers' Cohere and Cohere2 have it.
extension BlockReader {
  func stableLM() throws -> any DecoderBlock {
    if config.form.isParallel {
      return ParallelBlock(
        attentionNorm: try norm(.attentionNorm), attention: try attention(), mlp: try gatedMLP())
    }
    return try llama()
  }
}
