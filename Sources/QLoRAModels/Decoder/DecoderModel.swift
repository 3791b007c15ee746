// A frozen model of any family with trainable adapters. Forward passes only: gradients are the
// tape's.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// What encoders add to embedded tokens beside positions.
struct EncoderEmbedding: Sendable {
  /// `[types, hidden]`: a row for the first text of a pair, and one for the second; nil where both
  /// are alike.
  let types: (any PreparedWeight)?
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
  var finalNorm: Norm?
  /// Of the stack that reads; nil where one stack does both.
  var readerNorm: Norm?
  /// Tables that are trained as a whole, in the place of `embedding` and `head`.
  var tables = TrainedTables()
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
  /// False once the device could not record a step of generation.
  var hasRecordableSteps = true

  init(
    config: ModelConfig, backend: any Backend, activationDType: DType,
    embedding: any PreparedWeight, head: any PreparedWeight,
    positions: (any PreparedWeight)? = nil, encoding: EncoderEmbedding? = nil,
    blocks: [any DecoderBlock], finalNorm: Norm?, readerNorm: Norm? = nil,
    classifier: Classifier? = nil
  ) {
    self.readerNorm = readerNorm
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
    let last = (finalNorm?.byteCount ?? 0) + (readerNorm?.byteCount ?? 0)
    let norms = blocks.reduce(last) { $0 + $1.normBytes }
    let encoderBytes = encoding.map { ($0.types?.byteCount ?? 0) + $0.norm.byteCount } ?? 0
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
    announcePass(isRecording: tape.isRecording)
    if readsAndWrites {
      switch attention {
      case .packed(let bounds):
        return writtenStates(
          ReadAndWritten(tokens, types: types, bounds: bounds), dropout: dropout, on: tape,
          observe: observe)
      case .cached(let cache):
        return states(tokens, positions, attention, .cached(cache), dropout, tape, observe)
      }
    }
    let context = ForwardContext(
      positions: positions, attention: attention, rotary: rotaryTables(covering: positions),
      activationDType: activationDType, dropout: dropout)
    let names = config.names
    let embedded = embed(tokens, types, positions, on: tape)
    observe(names.embedding, embedded.value)
    var hidden = encoded(noisy(embedded, attention, dropout, tape), tape)
    for (block, policy) in zip(blocks, activationPolicies) {
      hidden = block.forward(hidden, context, settingAside: policy, on: tape)
      observe("\(names.layers)\(block.index)", hidden.value)
    }
    guard let finalNorm else { return hidden }
    let normalised = tape.normalize(hidden, finalNorm)
    observe(names.finalNorm, normalised.value)
    return normalised
  }

  /// Rows of the table, scaled, with those of their positions where these are learned.
  func embed(
    _ tokens: [Int32], _ types: [Int32], _ places: [Int32], on tape: Tape
  ) -> Variable {
    let embedded = tape.scaled(rows(tokens, on: tape), by: config.form.embeddingScale)
    // Nothing has read the values yet, so what is added may go into their place.
    func add(_ rows: [Int32], of table: any PreparedWeight) {
      let more = backend.allocate(embedded.value.shape, embedded.value.dtype)
      backend.embedding(rows, table, into: more)
      backend.add(embedded.value, more, into: embedded.value)
    }
    if let positions {
      // Beyond the table, its last row stands for all that follow.
      let last = Int32(positions.outFeatures - 1)
      let first = Int32(config.form.positionOffset)
      add(places.map { min($0 + first, last) }, of: positions)
    }
    if let table = encoding?.types {
      let last = Int32(table.outFeatures - 1)
      add(
        types.isEmpty ? tokens.map { _ in Int32(0) } : types.map { min($0, last) }, of: table)
    }
    return embedded
  }

  private func rows(_ tokens: [Int32], on tape: Tape) -> Variable {
    if let table = tables.embedding { return tape.lookUp(tokens, table, dtype: activationDType) }
    let rows = backend.allocate([tokens.count, config.hidden], activationDType)
    backend.embedding(tokens, embedding, into: rows)
    return Variable(rows)
  }

  /// The norm of embedded tokens, where encoders have one.
  private func encoded(_ embedded: Variable, _ tape: Tape) -> Variable {
    encoding.map { tape.normalize(embedded, $0.norm) } ?? embedded
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
    if let head = tables.head {
      return Tape(backend: backend, isRecording: false)
        .logits(hidden, trainedHead: head, softCap: config.form.logitCap)
    }
    let output = backend.allocate([hidden.shape[0], config.vocabularySize], .float32)
    backend.linear(hidden, [LinearTerm(weight: head, output: output)])
    if config.form.logitCap > 0 { backend.cap(output, at: config.form.logitCap) }
    return output
  }
}
