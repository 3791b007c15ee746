// The model as the trainer sees it: sums of losses and their gradients over packed batches.

import QLoRATensor

/// How far a training step has come.
package enum StepStage: Sendable {
  /// All that backward needs is in memory.
  case forward
  /// The loss and the gradient of the hidden states are known.
  case loss
  case backward
}

extension DecoderModel: TrainableModel {
  package func accumulateGradients(_ batch: TokenBatch, dropoutStream: UInt64) throws -> Double {
    let sum = accumulateGradients(batch, dropoutStream: dropoutStream) { _ in }
    try checkWeights()
    return sum
  }

  /// As above, telling `reached` where memory may be looked at.
  package func accumulateGradients(
    _ batch: TokenBatch, dropoutStream: UInt64, reached: (StepStage) -> Void
  ) -> Double {
    let tape = Tape(backend: backend)
    let dropout = DropoutContext(seed: dropoutSeed, stream: dropoutStream)
    let hidden = hiddenStates(
      batch.tokens, types: batch.types, positions: batch.positions,
      attention: .packed(bounds: batch.bounds), dropout: dropout, on: tape)
    reached(.forward)
    let sum =
      classifier.map { classLoss(hidden, batch, $0, dropout: dropout, on: tape) }
      ?? tape.linearCrossEntropy(
        hidden, rows: batch.rows, targets: batch.targets, head: head,
        softCap: config.form.logitCap)
    reached(.loss)
    tape.runBackward()
    reached(.backward)
    return sum
  }

  package func lossSum(_ batch: TokenBatch) throws -> Double {
    if classifier != nil { return try evaluate(batch).lossSum }
    let tape = Tape(backend: backend, isRecording: false)
    let sum = tape.linearCrossEntropy(
      evaluated(batch, on: tape), rows: batch.rows, targets: batch.targets, head: head,
      softCap: config.form.logitCap)
    try checkWeights()
    return sum
  }

  /// Negative log-likelihood of every labelled token and the token that the model likes best there.
  package func score(
    _ batch: TokenBatch
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    let tape = Tape(backend: backend, isRecording: false)
    return backend.scoreTokens(
      evaluated(batch, on: tape).value, rows: batch.rows, targets: batch.targets, head: head,
      softCap: config.form.logitCap)
  }

  /// Logits `[tokens, vocabulary]` of a whole batch; for comparisons, not for training.
  package func logits(_ batch: TokenBatch) -> Tensor {
    logits(evaluated(batch, on: Tape(backend: backend, isRecording: false)).value)
  }

  func evaluated(_ batch: TokenBatch, on tape: Tape) -> Variable {
    hiddenStates(
      batch.tokens, types: batch.types, positions: batch.positions,
      attention: .packed(bounds: batch.bounds), dropout: nil, on: tape)
  }
}
