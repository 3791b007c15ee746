// Noise on the embedded tokens of training, which keeps a model from learning its few examples by
// heart. Never in evaluation or generation.
import QLoRARandom
import QLoRATensor

/// Each component of an embedded token of a row of `length` tokens gets u · alpha ÷ √(length ·
/// width), where u is uniform in −1…1: for every row of a packed micro-batch by its own length.
///
/// Source: Jain et al. 2023, "NEFTune: noisy embeddings improve instruction finetuning",
/// arXiv:2310.05914, algorithm 1.
package struct EmbeddingNoise {
  let alpha: Double
  let seed: UInt64
  /// Of the micro-batch, as for dropout.
  let stream: UInt64

  package init(alpha: Double, seed: UInt64, stream: UInt64) {
    self.alpha = alpha
    self.seed = seed
    self.stream = stream
  }

  /// Keeps this generator's sequences apart from those of shuffling and of initial values.
  private static let purpose: UInt64 = 0x6E65_6674_756E_6500

  /// `[tokens, width]` float32: a function of seed, stream and place in the micro-batch.
  package func values(bounds: [Int], width: Int, into output: Tensor) {
    output.withMutableElements(Float.self) { elements in
      for (start, end) in zip(bounds, bounds.dropFirst()) where end > start {
        let scale = Float(alpha / (Double(end - start) * Double(width)).squareRoot())
        for token in start..<end {
          var random = SplitMix64(
            seed: SplitMix64(seed: seed ^ Self.purpose, stream: stream).first,
            stream: UInt64(token))
          for column in 0..<width {
            let unit = Float(2 * random.unit() - 1)
            elements[token * width + column] = scale * unit
          }
        }
      }
    }
  }
}

extension SplitMix64 {
  fileprivate var first: UInt64 {
    var copy = self
    return copy.next()
  }
}

extension DecoderModel {
  /// The embedded tokens with noise; as they are where there is none.
  func noisy(
    _ embedded: Variable, _ attention: AttentionContext, _ dropout: DropoutContext?, _ tape: Tape
  ) -> Variable {
    guard neftuneAlpha > 0, let dropout, case .packed(let bounds) = attention else {
      return embedded
    }
    let noise = backend.allocate(embedded.value.shape, .float32)
    EmbeddingNoise(alpha: neftuneAlpha, seed: dropout.seed, stream: dropout.stream)
      .values(bounds: bounds, width: config.hidden, into: noise)
    return tape.add(embedded, Variable(noise))
  }
}
