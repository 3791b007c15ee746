// Well-known shapes of the Llama family, for measuring without their weights.

import QLoRAFormats

/// A shape that random weights can take.
package enum ModelShape: String, Sendable, CaseIterable {
  case smolLM135M = "smollm2-135m"
  case smolLM360M = "smollm2-360m"
  case llama1B = "llama-1b"
  case llama3B = "llama-3b"
  case llama7B = "llama-7b"
  case llama8B = "llama-8b"
  case llama13B = "llama-13b"

  /// Source: the config.json files that SmolLM2, TinyLlama 1.1B, Llama 3.2 3B, Llama 2 7B and
  /// 13B, and Llama 3.1 8B were published with, without scaling of the rotary frequencies.
  package var config: ModelConfig {
    switch self {
    case .smolLM135M: Self.config(49152, 576, 1536, layers: 30, heads: 9, kvHeads: 3, tied: true)
    case .smolLM360M: Self.config(49152, 960, 2560, layers: 32, heads: 15, kvHeads: 5, tied: true)
    case .llama1B: Self.config(32000, 2048, 5632, layers: 22, heads: 32, kvHeads: 4, tied: false)
    case .llama3B: Self.config(128256, 3072, 8192, layers: 28, heads: 24, kvHeads: 8, tied: true)
    case .llama8B: Self.config(128256, 4096, 14336, layers: 32, heads: 32, kvHeads: 8, tied: false)
    case .llama13B:
      Self.config(32000, 5120, 13824, layers: 40, heads: 40, kvHeads: 40, tied: false)
    case .llama7B: Self.config(32000, 4096, 11008, layers: 32, heads: 32, kvHeads: 32, tied: false)
    }
  }

  private static func config(
    _ vocabulary: Int, _ hidden: Int, _ wide: Int, layers: Int, heads: Int, kvHeads: Int, tied: Bool
  ) -> ModelConfig {
    ModelConfig(
      vocabularySize: vocabulary, hidden: hidden, intermediate: wide, layers: layers, heads: heads,
      kvHeads: kvHeads, headDim: hidden / heads, normEpsilon: 1e-5,
      rope: RopeParameters(theta: 10_000), maxPositions: 8192, tiesEmbeddings: tied)
  }
}
