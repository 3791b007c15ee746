// OLMo 2 and 3, EXAONE 4: norms behind each half, and none in front.

/// `h = x + norm(attention(x))`, `y = h + norm(mlp(h))`; queries and keys are normalized over all
/// heads together, of EXAONE every head by itself. OLMo 3 has windows on three of four layers,
/// which rotary scaling leaves alone.
/// Source: OLMo Team 2024, "2 OLMo 2 Furious", arXiv:2501.00656, section 2; 2025, "Olmo 3",
/// arXiv:2512.13961, section 2; LG AI Research 2025, "EXAONE 4.0", arXiv:2507.11407, section 2.
extension BlockReader {
  func olmo() throws -> any DecoderBlock {
    SequentialBlock(
      attention: try attention(), attentionPostNorm: try norm(.attentionPostNorm),
      mlp: try gatedMLP(), mlpPostNorm: try norm(.mlpPostNorm))
  }
}
