// How to train, as plain values. It knows no recipe: the pipeline translates.
import QLoRATensor

/// Hyperparameters of AdamW that do not change from step to step.
/// Source: Loshchilov & Hutter 2019, arXiv:1711.05101.
package struct AdamWOptions: Sendable, Hashable {
  package var beta1: Double
  package var beta2: Double
  package var epsilon: Double
  package var weightDecay: Double

  package init(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8, weightDecay: Double = 0
  ) {
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
  }
}

package struct TrainingOptions: Sendable, Hashable {
  package var adamW: AdamWOptions
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

  package init(
    adamW: AdamWOptions = AdamWOptions(), schedule: LearningRateSchedule,
    maximumGradientNorm: Double = 1, evalEvery: Int = 0, saveEvery: Int = 0, keep: Int = 2,
    maximumSaveFailures: Int = 3
  ) {
    self.adamW = adamW
    self.schedule = schedule
    self.maximumGradientNorm = maximumGradientNorm
    self.evalEvery = evalEvery
    self.saveEvery = saveEvery
    self.keep = keep
    self.maximumSaveFailures = maximumSaveFailures
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
}
