// StarCoder2: Llama's attention between layer norms, and a plain MLP.

/// `h = x + attention(norm(x))`, `y = h + mlp(norm(h))` with `mlp(x) = down(gelu(up(x)))`.
/// Source: Lozhkov et al. 2024, "StarCoder 2", arXiv:2402.19173, section 6.1.
extension BlockReader {
  func starcoder() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try attention(),
      mlpNorm: try norm(.mlpNorm), mlp: try plainMLP())
  }
}
