// GPT-NeoX and Pythia: both halves at once, each behind a layer norm of its own.

/// `y = x + attention(norm₁(x)) + mlp(norm₂(x))` with `mlp(x) = down(gelu(up(x)))`; one linear puts
/// out each head's query, key and value side by side.
/// Source: Black et al. 2022, "GPT-NeoX-20B", arXiv:2204.06745, section 2.1; Biderman et al. 2023,
/// "Pythia", arXiv:2304.01373, section 2.2.
extension BlockReader {
  func neoX() throws -> any DecoderBlock {
    let (first, attention) = (try norm(.attentionNorm), try fusedAttention(isByHead: true))
    let (second, mlp) = (try norm(.mlpNorm), try plainMLP())
    if config.form.isParallel {
      return ParallelBlock(
        attentionNorm: first, attention: attention, mlpNorm: second, mlp: mlp)
    }
    return SequentialBlock(
      attentionNorm: first, attention: attention, mlpNorm: second, mlp: mlp)
  }
}
