// Phi-3 and Phi-4: Llama's block with fewer, larger linears.

/// `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`: one linear puts out queries, keys and
/// values, another one gate and up.
/// Source: Abdin et al. 2024, "Phi-3 Technical Report", arXiv:2404.14219, section 2.
extension BlockReader {
  func phi() throws -> any DecoderBlock {
    SequentialBlock(
      attentionNorm: try norm(.attentionNorm), attention: try fusedAttention(isByHead: false),
      mlpNorm: try norm(.mlpNorm),
      mlp: GatedMLP(
        inward: [try linear(.gateUp)], down: try linear(.down),
        activation: config.form.activation))
  }
}
