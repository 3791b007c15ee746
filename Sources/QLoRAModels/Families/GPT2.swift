// GPT-2: layer norms, and positions that are learned and added to the embedded tokens.

/// `h = x + attention(norm(x))`, `y = h + mlp(norm(h))` with `mlp(x) = down(gelu(up(x)))`.
/// Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3.
extension BlockReader {
  func gpt2() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try fusedAttention(isByHead: false),
      mlpNorm: try norm(.mlpNorm), mlp: try plainMLP())
  }
}
