// T5: blocks that read a text, and blocks that write what follows from it.

import QLoRATensor

/// Of a block that reads: `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`, every row seeing
/// all; of one that writes, `WritingBlock`. Scores have a bias by distance in both, and no scale.
/// Version 1.0 has a plain MLP with max(x, 0), from 1.1 on there is a gated GELU.
/// Source: Raffel et al. 2020, arXiv:1910.10683, section 2.1; Shazeer 2020, arXiv:2002.05202.
extension BlockReader {
  func t5() throws -> any DecoderBlock {
    let isReading = index < config.form.reader?.layers ?? 0
    let first = try norm(.attentionNorm)
    let attention = try biasedAttention(isCausal: !isReading)
    if isReading {
      return SequentialBlock(
        attentionNorm: first, attention: attention, mlpNorm: try norm(.mlpNorm), mlp: try t5MLP())
    }
    let cross = CrossAttention(
      query: try linear(.crossQuery), key: try linear(.crossKey), value: try linear(.crossValue),
      output: try linear(.crossOutput), layout: layout(isCausal: false), index: index)
    return WritingBlock(
      attentionNorm: first, attention: attention, crossNorm: try norm(.crossNorm), cross: cross,
      mlpNorm: try norm(.mlpNorm), mlp: try t5MLP())
  }

  private func layout(isCausal: Bool) -> AttentionLayout {
    AttentionLayout(
      heads: config.heads, kvHeads: config.kvHeads, headSize: config.headDim,
      scale: config.form.attentionScale ?? 1, isCausal: isCausal)
  }

  private func biasedAttention(isCausal: Bool) throws -> SelfAttention {
    SelfAttention(
      projections: try [.query, .key, .value].map { try linear($0) },
      output: try linear(.attentionOutput), layout: layout(isCausal: isCausal), rotation: .none,
      bias: try loader.distanceBias(isCausal: isCausal), index: index)
  }

  private func t5MLP() throws -> any FeedForward {
    let isGated = config.form.reader?.isGated ?? false
    let gate = isGated ? [try linear(.gate)] : []
    let (up, down) = (try linear(.up), try linear(.down))
    return isGated
      ? GatedMLP(inward: gate + [up], down: down, activation: config.form.activation)
      : PlainMLP(up: up, down: down, activation: config.form.activation)
  }
}

extension ModelLoader {
  /// - Throws: a diagnostic that names the missing or misshapen tensor.
  func distanceBias(isCausal: Bool) throws -> DistanceBias? {
    guard let names = source.config.names.reader?.distances,
      let form = source.config.form.reader
    else { return nil }
    let name = (isCausal ? names.writing : names.reading) + ".weight"
    let count = form.buckets * source.config.heads
    return DistanceBias(
      try vector(name, [form.buckets, source.config.heads], count), form, isCausal: isCausal)
  }
}
