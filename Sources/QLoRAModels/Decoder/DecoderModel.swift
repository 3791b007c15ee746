// A frozen model of any family with trainable adapters. Forward passes only: gradients are the
// tape's.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// What encoders add to embedded tokens beside positions.
struct EncoderEmbedding: Sendable {
  /// `[types, hidden]`: a row for the first text of a pair, and one for the second.
  let types: any PreparedWeight
  /// Of the sum.
  let norm: Norm
}

/// A causal language model, or a model that tells classes apart. Its blocks know what family it is
/// of.
package final class DecoderModel {
  package let config: ModelConfig
  package let backend: any Backend
  /// The type that activations are kept in; sums are always float32.
  package let activationDType: DType
  let embedding: any PreparedWeight
  /// The same object as `embedding` where the model ties them, or predicts no tokens.
  let head: any PreparedWeight
  /// `[positions, hidden]` of families that learn them.
  let positions: (any PreparedWeight)?
  /// nil of decoders.
  let encoding: EncoderEmbedding?
  var blocks: [any DecoderBlock]
  /// nil of encoders, whose blocks end with one.
  let finalNorm: Norm?
  /// nil of a language model.
  package internal(set) var classifier: Classifier?
  /// In the order of the optimizer; empty without adapters.
  package internal(set) var parameters: [Parameter] = []
  /// What each block keeps until backward.
  package var activationPolicies: [ActivationPolicy]
  package var dropoutSeed: UInt64 = 0
  /// Of the noise on embedded tokens in training; 0 means none.
  package var neftuneAlpha = 0.0
  /// Where the weights of blocks are that are not in memory; nil where all are.
  package var blockStore: (any BlockStore)?
  private var rotary: RotaryTables

  init(
    config: ModelConfig, backend: any Backend, activationDType: DType,
    embedding: any PreparedWeight, head: any PreparedWeight,
    positions: (any PreparedWeight)? = nil, encoding: EncoderEmbedding? = nil,
    blocks: [any DecoderBlock], finalNorm: Norm?, classifier: Classifier? = nil
  ) {
    self.encoding = encoding
    self.classifier = classifier
    self.config = config
    self.backend = backend
    self.activationDType = activationDType
    self.embedding = embedding
    self.head = head
    self.positions = positions
    self.blocks = blocks
    // Dividing logits is dividing what the head reads.
    self.finalNorm = finalNorm?.scaled(by: 1 / config.form.logitDivisor)
    activationPolicies = blocks.map { _ in .everything }
    // Grown on demand: most runs need far fewer positions than the model allows.
    let firstPositions = 512
    rotary = RotaryTables(config: config, positionCount: firstPositions, length: 0)
  }

  /// Bytes of the frozen weights in memory.
  package var weightBytes: Int {
    let tables = embedding === head ? embedding.byteCount : embedding.byteCount + head.byteCount
    let norms = blocks.reduce(finalNorm?.byteCount ?? 0) { $0 + $1.normBytes }
    let encoderBytes = encoding.map { $0.types.byteCount + $0.norm.byteCount } ?? 0
    return blockBytes.reduce(0, +) + tables + norms + (positions?.byteCount ?? 0) + encoderBytes
      + (classifier?.pooler?.weight.byteCount ?? 0)
  }

  /// The same of each block's matrices.
  package var blockBytes: [Int] {
    blocks.map { block in block.weights.reduce(0) { $0 + $1.weight.byteCount } }
  }

  /// Final hidden states `[tokens, hidden]`, normalised.
  ///
  /// - Parameter observe: is shown what comes out of each module on the way.
  func hiddenStates(
    _ tokens: [Int32], types: [Int32] = [], positions: [Int32], attention: AttentionContext,
    dropout: DropoutContext?, on tape: Tape,
    observe: (_ module: String, Tensor) -> Void = { _, _ in }
  ) -> Variable {
    let context = ForwardContext(
      positions: positions, attention: attention, rotary: rotaryTables(covering: positions),
      activationDType: activationDType, dropout: dropout)
    announcePass(isRecording: tape.isRecording)
    let embedded = backend.allocate([tokens.count, config.hidden], activationDType)
    embed(tokens, types, positions, into: embedded)
    let names = config.names
    observe(names.embedding, embedded)
    var hidden = Variable(encoded(noisy(embedded, attention, dropout)))
    for (block, policy) in zip(blocks, activationPolicies) {
      hidden = block.forward(hidden, context, keeping: policy, on: tape)
      observe("\(names.layers)\(block.index)", hidden.value)
    }
    guard let finalNorm else { return hidden }
    let normalised = tape.normalize(hidden, finalNorm)
    observe(names.finalNorm, normalised.value)
    return normalised
  }

  /// Rows of the table, scaled, with those of their positions where these are learned.
  private func embed(
    _ tokens: [Int32], _ types: [Int32], _ places: [Int32], into embedded: Tensor
  ) {
    backend.embedding(tokens, embedding, into: embedded)
    if config.form.embeddingScale != 1 {
      backend.scale(embedded, by: config.form.embeddingScale)
    }
    if let positions {
      let rows = backend.allocate(embedded.shape, embedded.dtype)
      // Beyond the table, its last row stands for all that follow.
      let last = Int32(positions.outFeatures - 1)
      let first = Int32(config.form.positionOffset)
      backend.embedding(places.map { min($0 + first, last) }, positions, into: rows)
      backend.add(embedded, rows, into: embedded)
    }
    if let encoding {
      let rows = backend.allocate(embedded.shape, embedded.dtype)
      let last = Int32(encoding.types.outFeatures - 1)
      let types = types.isEmpty ? tokens.map { _ in Int32(0) } : types.map { min($0, last) }
      backend.embedding(types, encoding.types, into: rows)
      backend.add(embedded, rows, into: embedded)
    }
  }

  /// The norm of embedded tokens, where encoders have one.
  private func encoded(_ embedded: Tensor) -> Tensor {
    guard let norm = encoding?.norm, let bias = norm.bias else { return embedded }
    let normalized = backend.allocate(embedded.shape, embedded.dtype)
    backend.layerNorm(
      embedded, weight: norm.weight, bias: bias, epsilon: norm.epsilon, into: normalized,
      statistics: backend.allocate([embedded.shape[0], 2], .float32))
    return normalized
  }

  func rotaryTables(covering positions: [Int32]) -> RotaryTables {
    let needed = Int(positions.max() ?? 0) + 1
    let isOther = config.rope.variant(length: needed) != rotary.variant
    if needed > rotary.positionCount || isOther {
      let grown = needed > rotary.positionCount ? 2 * rotary.positionCount : rotary.positionCount
      rotary = RotaryTables(
        config: config, positionCount: max(needed, grown), length: needed)
    }
    return rotary
  }

  /// Logits `[rows, vocabulary]` float32 of some rows of normalised hidden states.
  func logits(_ hidden: Tensor) -> Tensor {
    let output = backend.allocate([hidden.shape[0], config.vocabularySize], .float32)
    backend.linear(hidden, [LinearTerm(weight: head, output: output)])
    if config.form.logitCap > 0 { backend.cap(output, at: config.form.logitCap) }
    return output
  }
}
