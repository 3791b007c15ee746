// How a decoder differs from Llama's in numbers, in the form of a norm and in its activation: the
// defaults are Llama's. Where forwards really differ, families have blocks of their own.
import QLoRATensor

/// How rows are normalized.
package enum NormForm: Sendable, Hashable {
  /// By their root mean square.
  case rms
  /// The same, where files keep the weight less one.
  case rmsAroundOne
  /// To mean 0 and variance 1, with a bias.
  case layer
  /// The same without a bias.
  case centered

  /// Whether a row's mean is taken off.
  var isCentered: Bool { [.layer, .centered].contains(self) }
}

/// What is normalized between the projections of queries and keys and their rotation.
package enum QueryKeyNorm: Sendable, Hashable {
  case none
  /// Every head by itself, with one weight for all.
  case heads
  /// Every head by itself to mean 0 and variance 1, with a weight of its own.
  case everyHead
  /// All heads together.
  case whole
}

/// A stack of blocks that reads for the one that writes, with biases of scores by distance.
package struct ReaderForm: Sendable, Hashable {
  /// Of the stack that reads; a model's number of layers counts those of both.
  package var layers: Int
  package var buckets: Int
  /// From here on all distances are one.
  package var largestDistance: Int
  /// Whether the MLP has a gate.
  package var isGated: Bool
  /// The token that what is written begins behind.
  package var startToken: Int
}

/// Experts of which each token takes a few.
package struct ExpertForm: Sendable, Hashable {
  package var count: Int
  /// How many a token takes.
  package var chosen: Int
  /// Whether the weights of the chosen ones are made to add up to one.
  package var isNormalized: Bool
  /// Layers that have one MLP for all tokens instead, and how wide it is.
  package var denseLayers: Set<Int> = []
  package var denseIntermediate: Int?

  package init(count: Int, chosen: Int, isNormalized: Bool) {
    self.count = count
    self.chosen = chosen
    self.isNormalized = isNormalized
  }
}

package struct DecoderForm: Sendable, Hashable {
  package var norm = NormForm.rms
  package var queryKeyNorm = QueryKeyNorm.none
  package var activation = Activation.silu
  /// Linears with a bias.
  package var biases: Set<WeightRole> = []
  /// Leading elements of each head that are rotated; nil for all.
  package var rotaryDim: Int?
  /// Whether a rotary pair is two neighbours; else one of each half of the head.
  package var turnsNeighbours = false
  /// Layers without rotary positions.
  package var unrotatedLayers: Set<Int> = []
  /// Layers whose tokens see only so many of the last ones, themselves included.
  package var window = 0
  package var windowedLayers: Set<Int> = []
  /// Rotary positions of the layers with a window; nil where they are those of all.
  package var windowedRope: RopeParameters?
  /// Multiplies query·key; nil: 1 / √headDim.
  package var attentionScale: Float?
  /// Bounds scores and logits as cap·tanh(x / cap); 0 = not at all.
  package var scoreCap: Float = 0
  package var logitCap: Float = 0
  /// Multiplies embedded tokens, and what a layer adds to the residual stream.
  package var embeddingScale: Float = 1
  package var residualScale: Float = 1
  /// Divides logits.
  package var logitDivisor: Float = 1
  /// Whether attention and MLP read the same residual stream, and share its norm.
  package var isParallel = false
  package var sharesNorm = false
  /// Whether tokens see only those before them.
  package var isCausal = true
  /// The row of learned positions that a text's first token has.
  package var positionOffset = 0
  /// Rows of the table that tells a second text from the first.
  package var tokenTypes = 0
  /// nil where every token takes the one MLP.
  package var experts: ExpertForm?
  /// nil where one stack does both.
  package var reader: ReaderForm?

  package init() {}

  /// What all models of a family have.
  package init(_ family: ModelFamily) {
    switch family {
    case .gptNeoX, .gpt2, .stablelm, .starcoder2, .bert, .roberta, .distilbert: norm = .layer
    case .cohere, .cohere2: norm = .centered
    case .gemma, .gemma2, .gemma3: norm = .rmsAroundOne
    default: break
    }
    switch family {
    case .qwen3, .qwen3Moe, .gemma3, .exaone4: queryKeyNorm = .heads
    case .olmo2, .olmo3, .olmoe: queryKeyNorm = .whole
    default: break
    }
    switch family {
    case .gptNeoX, .bert, .roberta, .distilbert: activation = .gelu
    case .gemma, .gemma2, .gemma3, .gpt2, .starcoder2: activation = .geluTanh
    default: break
    }
    if [.gpt2, .t5].contains(family) || family.isEncoder { rotaryDim = 0 }
    turnsNeighbours = [.glm4, .ernie45, .cohere, .cohere2].contains(family)
    if [.cohere, .cohere2].contains(family) { (isParallel, sharesNorm) = (true, true) }
    isCausal = !family.isEncoder
  }

  /// How a norm of a block normalizes.
  package func form(ofNorm role: WeightRole) -> NormForm {
    let isOfHead = [.queryNorm, .keyNorm].contains(role) && queryKeyNorm == .everyHead
    return isOfHead ? .centered : norm
  }

  /// Layers 0 ..< `count`, of which no model has more: the number is a file's, and not checked yet.
  static func layers(_ count: Int) -> Range<Int> { 0..<min(max(0, count), 1 << 16) }

  /// How many tokens back layer `index` sees, the token itself included; 0 = all.
  package func window(_ index: Int) -> Int { windowedLayers.contains(index) ? window : 0 }
}
