// GLM-4: norms on both sides of each half, and one linear for gate and up.

/// `h = x + norm(attention(norm(x)))`, `y = h + norm(mlp(norm(h)))`; the first half of each head is
/// rotated, neighbours together.
/// Source: GLM Team 2024, "ChatGLM", arXiv:2406.12793, section 2; the norms behind are those of
/// GLM-4-0414 as transformers' Glm4 has them.
extension BlockReader {
  func glm() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try attention(),
      attentionPostNorm: try norm(.attentionPostNorm), mlpNorm: try norm(.mlpNorm),
      mlp: GatedMLP(
        inward: [try linear(.gateUp)], down: try linear(.down),
        activation: config.form.activation),
      mlpPostNorm: try norm(.mlpPostNorm))
  }
}
