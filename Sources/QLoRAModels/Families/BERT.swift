// BERT and RoBERTa: encoders, whose norms stand behind the sums.

/// `h = norm(x + attention(x))`, `y = norm(h + mlp(h))` with `mlp(x) = down(gelu(up(x)))`; every
/// token sees the whole text.
/// Source: Devlin et al. 2019, "BERT", arXiv:1810.04805, section 3; Liu et al. 2019, "RoBERTa",
/// arXiv:1907.11692, section 2.
extension BlockReader {
  func bert() throws -> any DecoderBlock {
    SequentialBlock(
      attention: try attention(), attentionPostNorm: try norm(.attentionPostNorm),
      mlp: try plainMLP(), mlpPostNorm: try norm(.mlpPostNorm), normalizesSums: true)
  }
}
