// The shape of a model of the Llama family as plain numbers, wherever they were read from. It holds
// no weights and no vocabulary.
import QLoRADiagnostics
import QLoRATensor

/// What a decoder needs to know to be built.
package struct ModelConfig: Sendable, Hashable {
  package var vocabularySize: Int
  package var hidden: Int
  package var intermediate: Int
  package var layers: Int
  package var heads: Int
  package var kvHeads: Int
  package var headDim: Int
  package var normEpsilon: Float
  package var rope: RopeParameters
  package var maxPositions: Int
  /// Whether the output layer is the embedding matrix.
  package var tiesEmbeddings: Bool
  package var attentionBias: Bool
  package var mlpBias: Bool
  package var bosTokens: [Int]
  package var eosTokens: [Int]
  /// The weights' own type where the configuration names one.
  package var dtype: DType?

  package init(
    vocabularySize: Int, hidden: Int, intermediate: Int, layers: Int, heads: Int, kvHeads: Int,
    headDim: Int, normEpsilon: Float, rope: RopeParameters, maxPositions: Int,
    tiesEmbeddings: Bool, attentionBias: Bool = false, mlpBias: Bool = false,
    bosTokens: [Int] = [], eosTokens: [Int] = [], dtype: DType? = nil
  ) {
    self.vocabularySize = vocabularySize
    self.hidden = hidden
    self.intermediate = intermediate
    self.layers = layers
    self.heads = heads
    self.kvHeads = kvHeads
    self.headDim = headDim
    self.normEpsilon = normEpsilon
    self.rope = rope
    self.maxPositions = maxPositions
    self.tiesEmbeddings = tiesEmbeddings
    self.attentionBias = attentionBias
    self.mlpBias = mlpBias
    self.bosTokens = bosTokens
    self.eosTokens = eosTokens
    self.dtype = dtype
  }

  /// Refuses numbers that no model can have, before anything is sized by them.
  func check(at location: DiagnosticLocation) throws(Diagnostic) {
    let limit = 1 << 24
    let sizes = [
      ("vocabulary size", vocabularySize), ("hidden size", hidden),
      ("intermediate size", intermediate), ("number of layers", layers),
      ("number of heads", heads), ("number of key/value heads", kvHeads), ("head size", headDim),
      ("number of positions", maxPositions),
    ]
    for (name, value) in sizes where !(1...limit).contains(value) {
      throw Diagnostic(
        .configInvalid, "the \(name) must be 1 to \(limit), found \(value)", at: location)
    }
    guard heads % kvHeads == 0 else {
      throw Diagnostic(
        .configInvalid, "\(heads) heads cannot be shared among \(kvHeads) key/value heads",
        at: location)
    }
    guard headDim % 2 == 0 else {
      throw Diagnostic(
        .configInvalid, "the head size must be even for rotary positions, found \(headDim)",
        at: location)
    }
    guard normEpsilon > 0, normEpsilon.isFinite, rope.theta > 0, rope.theta.isFinite else {
      throw Diagnostic(
        .configInvalid, "the norm's epsilon and the rotary base must be positive", at: location)
    }
  }
}
