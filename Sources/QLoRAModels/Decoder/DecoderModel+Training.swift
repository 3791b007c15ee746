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
      ?? tokenLoss(hidden, batch, on: tape)
    reached(.loss)
    tape.runBackward()
    reached(.backward)
    return sum
  }

  package func lossSum(_ batch: TokenBatch) throws -> Double {
    if classifier != nil { return try evaluate(batch).lossSum }
    let tape = Tape(backend: backend, isRecording: false)
    let sum = tokenLoss(evaluated(batch, on: tape), batch, on: tape)
    try checkWeights()
    return sum
  }

  /// The loss of labelled tokens over a batch of a tape's own pass, with its gradient where
  /// recording.
  func tokenLoss(_ hidden: Variable, _ batch: TokenBatch, on tape: Tape) -> Double {
    let (cap, rows) = (config.form.logitCap, writtenRows(batch))
    guard let trained = tables.head else {
      return tape.linearCrossEntropy(
        hidden, rows: rows, targets: batch.targets, head: head, softCap: cap)
    }
    return tape.linearCrossEntropy(
      hidden, rows: rows, targets: batch.targets, trainedHead: trained, softCap: cap)
  }

  /// Negative log-likelihood of every labelled token and the token that the model likes best there.
  package func score(
    _ batch: TokenBatch
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    let hidden = evaluated(batch, on: Tape(backend: backend, isRecording: false)).value
    if tables.head != nil { return scoreByLogits(hidden, batch) }
    return backend.scoreTokens(
      hidden, rows: writtenRows(batch), targets: batch.targets, head: head,
      softCap: config.form.logitCap)
  }

  /// Logits `[tokens, vocabulary]` of a whole batch, or of what is written of it; for comparisons,
  /// not for training.
  package func logits(_ batch: TokenBatch) -> Tensor {
    logits(evaluated(batch, on: Tape(backend: backend, isRecording: false)).value)
  }

  func evaluated(_ batch: TokenBatch, on tape: Tape) -> Variable {
    hiddenStates(
      batch.tokens, types: batch.types, positions: batch.positions,
      attention: .packed(bounds: batch.bounds), dropout: nil, on: tape)
  }
}
