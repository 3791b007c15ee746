// OLMo 2: norms behind each half, and none in front.

/// `h = x + norm(attention(x))`, `y = h + norm(mlp(h))`; queries and keys are normalized over all
/// heads together.
/// Source: OLMo Team 2024, "2 OLMo 2 Furious", arXiv:2501.00656, section 2.
extension BlockReader {
  func olmo() throws -> any DecoderBlock {
    SequentialBlock(
      attention: try attention(), attentionPostNorm: try norm(.attentionPostNorm),
      mlp: try gatedMLP(), mlpPostNorm: try norm(.mlpPostNorm))
  }
}
