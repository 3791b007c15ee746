// What training asks of a model and feeds it: packed tokens in, a sum of losses and gradients out.

/// One micro-batch: sequences packed end to end.
package struct TokenBatch: Sendable, Equatable {
  /// `[tokens]` ids of all sequences, one after the other.
  package var tokens: [Int32]
  /// `[tokens]` places within each sequence, from 0.
  package var positions: [Int32]
  /// `[sequences + 1]`: sequence `i` is `bounds[i] ..< bounds[i + 1]`.
  package var bounds: [Int]
  /// Indices into `tokens` whose next token is labelled.
  package var rows: [Int32]
  /// `[rows]` the labels: the next token of each row, or the class of each sequence.
  package var targets: [Int32]
  /// `[tokens]` 0 in a first text, 1 in a second; empty where all are 0.
  package var types: [Int32] = []

  package init(
    tokens: [Int32], positions: [Int32], bounds: [Int], rows: [Int32], targets: [Int32]
  ) {
    self.tokens = tokens
    self.positions = positions
    self.bounds = bounds
    self.rows = rows
    self.targets = targets
  }

  package var labelledCount: Int { rows.count }
}

/// What evaluating a batch gives.
package struct BatchEvaluation: Sendable, Equatable {
  /// Over labelled tokens or texts.
  package var lossSum: Double
  /// Texts whose class is the most likely one; nil of a language model.
  package var correct: Int?

  package init(lossSum: Double, correct: Int? = nil) {
    self.lossSum = lossSum
    self.correct = correct
  }
}

/// A model as the trainer sees it: some parameters and a loss.
package protocol TrainableModel: AnyObject {
  /// In an order that never changes for one model.
  var parameters: [Parameter] { get }

  /// Adds the gradients of the SUM of the losses over labelled tokens to the parameters' gradients.
  /// - Parameter dropoutStream: differs for every micro-batch of a run, and is the same for the
  ///   same micro-batch of a resumed one.
  /// - Returns: that sum.
  func accumulateGradients(_ batch: TokenBatch, dropoutStream: UInt64) throws -> Double

  /// The sum of the losses over labelled tokens, without dropout and without gradients.
  func lossSum(_ batch: TokenBatch) throws -> Double

  /// The same sum, and of a model that tells classes apart how often it is right.
  func evaluate(_ batch: TokenBatch) throws -> BatchEvaluation

  /// The module behind which values are first infinite or undefined; nil where none are, or where
  /// the model cannot tell. Slow: for the report of a run that diverged.
  func firstNonFinite(_ batch: TokenBatch, dropoutStream: UInt64) -> String?
}

extension TrainableModel {
  package func evaluate(_ batch: TokenBatch) throws -> BatchEvaluation {
    BatchEvaluation(lossSum: try lossSum(batch))
  }

  package func firstNonFinite(_ batch: TokenBatch, dropoutStream: UInt64) -> String? { nil }
}
