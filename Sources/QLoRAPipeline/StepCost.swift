// How many floating-point operations a training step needs, from the shape alone.

import QLoRAFormats
import QLoRATensor

/// The arithmetic of a QLoRA step per token: products forward and for the input's gradient, never
/// for the gradient of a frozen weight.
package struct StepCost: Sendable, Equatable {
  /// N: weights of the blocks' linears.
  package let linearWeights: Int
  /// V·d: weights of the head.
  package let headWeights: Int
  /// P: parameters of the adapters.
  package let adapterParameters: Int
  /// a: forward operations of causal attention per token, of all layers.
  package let attention: Double
  /// The fraction of tokens that reach the head.
  package let labelled: Double

  package init(_ config: ModelConfig, _ batches: [TokenBatch], adapterParameters: Int) {
    let attentionWidth = config.heads * config.headDim
    linearWeights = config.linearWeightsPerToken
    headWeights = config.vocabularySize * config.hidden
    self.adapterParameters = adapterParameters
    let tokens = Double(max(1, batches.reduce(0) { $0 + $1.tokens.count }))
    // Half of the square of scores, a multiplication and an addition each, twice: QKᵀ and PV.
    let pairs = batches.reduce(0.0) { sum, batch in
      sum + zip(batch.bounds, batch.bounds.dropFirst()).reduce(0.0) {
        $0 + Double(($1.1 - $1.0) * ($1.1 - $1.0))
      }
    }
    attention = 2 * pairs * Double(attentionWidth * config.layers) / tokens
    labelled = Double(batches.reduce(0) { $0 + $1.labelledCount }) / tokens
  }

  /// 4N + 4Vd + 3.5a + 6P, the head for labelled tokens only. Recomputing all blocks adds
  /// 2N + a + 2P.
  package func operationsPerToken(recomputing: Bool) -> Double {
    let (weights, parameters) = (Double(linearWeights), Double(adapterParameters))
    let step =
      4 * weights + 4 * Double(headWeights) * labelled + 3.5 * attention + 6 * parameters
    return recomputing ? step + 2 * weights + attention + 2 * parameters : step
  }
}
