// The shape of a decoder as plain numbers, wherever they were read from. It holds no weights and no
// vocabulary.
import QLoRADiagnostics
import QLoRATensor

/// What a decoder needs to know to be built.
package struct ModelConfig: Sendable, Hashable {
  package var family = ModelFamily.llama
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
  /// What differs from Llama.
  package var form = DecoderForm()
  package var bosTokens: [Int]
  package var eosTokens: [Int]
  /// The weights' own type where the configuration names one.
  package var dtype: DType?
  /// The module that holds the decoder in a model that sees images too, `language_model`; nil
  /// where the decoder is the model.
  package var holder: String?

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
    if attentionBias { form.biases.formUnion([.query, .key, .value, .attentionOutput]) }
    if mlpBias { form.biases.formUnion([.gate, .up, .down]) }
    self.bosTokens = bosTokens
    self.eosTokens = eosTokens
    self.dtype = dtype
  }

  package var attentionBias: Bool { form.biases.contains(.attentionOutput) }
  package var mlpBias: Bool { form.biases.contains(.down) }
  /// The most tokens that a text may have; nil where positions know no end.
  package var positionLimit: Int? { family.isEncoder ? maxPositions - form.positionOffset : nil }
  /// Leading elements of each head that are rotated.
  package var rotaryDim: Int { form.rotaryDim ?? headDim }

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
    guard rotaryDim % 2 == 0, (0...headDim).contains(rotaryDim) else {
      throw Diagnostic(
        .configInvalid, "the head size must be even for rotary positions, found \(rotaryDim)",
        at: location)
    }
    try checkForm(at: location)
    guard (0..<maxPositions).contains(form.positionOffset) else {
      throw Diagnostic(
        .configInvalid,
        "there are \(maxPositions) positions, and the first would be number "
          + "\(form.positionOffset)", at: location)
    }
    guard normEpsilon > 0, normEpsilon.isFinite, rope.theta > 0, rope.theta.isFinite else {
      throw Diagnostic(
        .configInvalid, "the norm's epsilon and the rotary base must be positive", at: location)
    }
  }
  private func checkForm(at location: DiagnosticLocation) throws(Diagnostic) {
    let factors = [
      form.attentionScale ?? 1, form.embeddingScale, form.residualScale, form.logitDivisor,
    ]
    let caps = [form.scoreCap, form.logitCap]
    guard factors.allSatisfy({ $0 > 0 && $0.isFinite }),
      caps.allSatisfy({ $0 >= 0 && $0.isFinite }), form.window >= 0
    else {
      throw Diagnostic(
        .configInvalid, "multipliers, caps and windows must be positive numbers", at: location)
    }
    if let dense = form.experts?.denseIntermediate, !(1...1 << 24).contains(dense) {
      throw Diagnostic(
        .configInvalid, "the intermediate size of layers without experts must be positive, found "
          + "\(dense)", at: location)
    }
    if let experts = form.experts,
      !(1...4096).contains(experts.count) || !(1...experts.count).contains(experts.chosen)
    {
      throw Diagnostic(
        .configInvalid, "\(experts.chosen) of \(experts.count) experts cannot be chosen",
        at: location)
    }
    for scaling in [rope.scaling, form.windowedRope?.scaling ?? .none] {
      guard scaling.fits(pairs: rotaryDim / 2) else {
        throw Diagnostic(
          .configInvalid, "rotary scaling needs \(rotaryDim / 2) factors", at: location)
      }
    }
  }
}
