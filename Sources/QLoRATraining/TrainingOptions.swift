// How to train, as plain values. It knows no recipe: the pipeline translates.
import QLoRATensor

/// What becomes of a step whose loss or gradient is not finite.
package enum NonFinitePolicy: Sendable, Hashable {
  /// The run ends.
  case halt
  /// The step counts and its update is left out, in at most so many steps of the run.
  case skip(atMost: Int)
  /// The run goes back to its last checkpoint at an interval and on from there at half the
  /// learning rate, at most so many times.
  case rollback(atMost: Int)
}

package struct TrainingOptions: Sendable, Hashable {
  package var optimizer: OptimizerOptions
  package var schedule: LearningRateSchedule
  /// 0 = no clipping.
  package var maximumGradientNorm: Double
  /// Steps between evaluations and between checkpoints; 0 = only after the last step.
  package var evalEvery: Int
  package var saveEvery: Int
  /// Checkpoints to keep.
  package var keep: Int
  /// Saves in a row that may fail before the run gives up.
  package var maximumSaveFailures: Int
  package var onNonFinite: NonFinitePolicy

  package init(
    optimizer: OptimizerOptions = .adamW(AdamWOptions()), schedule: LearningRateSchedule,
    maximumGradientNorm: Double = 1, evalEvery: Int = 0, saveEvery: Int = 0, keep: Int = 2,
    maximumSaveFailures: Int = 3, onNonFinite: NonFinitePolicy = .halt
  ) {
    self.optimizer = optimizer
    self.schedule = schedule
    self.maximumGradientNorm = maximumGradientNorm
    self.evalEvery = evalEvery
    self.saveEvery = saveEvery
    self.keep = keep
    self.maximumSaveFailures = maximumSaveFailures
    self.onNonFinite = onNonFinite
  }

  /// Whether something with this interval is due after `step` of `stepCount`.
  static func isDue(_ interval: Int, step: Int, stepCount: Int) -> Bool {
    step == stepCount || (interval > 0 && step > 0 && step % interval == 0)
  }
}

/// Where batches come from. A pure function of the step, so that a resumed run meets the same ones
/// and no cursor needs saving.
package protocol BatchSource {
  var stepCount: Int { get }
  /// The micro-batches of optimizer step `step`, from 1.
  func microBatches(step: Int) throws -> [TokenBatch]
  /// The rows of each of those micro-batches, as a message names them.
  func rowNames(step: Int) -> [[String]]
}

extension BatchSource {
  package func rowNames(step: Int) -> [[String]] { [] }
}
