// Gemma 2 and 3: norms on both sides of each half.

/// `h = x + norm(attention(norm(x)))`, `y = h + norm(mlp(norm(h)))`.
///
/// Layers with a window alternate with full ones. Gemma 2 caps scores and logits; Gemma 3 normalizes
/// queries and keys instead, and turns them by another base in layers with a window.
/// Source: Gemma Team 2024, "Gemma 2", arXiv:2408.00118, section 2; 2025, "Gemma 3",
/// arXiv:2503.19786, section 2.
extension BlockReader {
  func gemma() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try attention(),
      attentionPostNorm: try norm(.attentionPostNorm), mlpNorm: try norm(.mlpNorm),
      mlp: try gatedMLP(), mlpPostNorm: try norm(.mlpPostNorm))
  }
}
