// What a run tells its listeners: progress bars, logs, plots. Events carry values only, and whoever
// listens cannot change the run.
import QLoRADiagnostics

/// One optimizer step, as a line of `metrics.jsonl` has it.
package struct StepMetrics: Sendable, Equatable {
  /// From 1.
  package var step: Int
  /// The mean over all labelled tokens of the step, before the update.
  package var loss: Double
  package var learningRate: Double
  /// Of the mean loss over all parameters, before clipping.
  package var gradientNorm: Double
  package var tokens: Int
  package var labelledTokens: Int
  package var tokensPerSecond: Double
  package var peakMemoryBytes: Int
  /// Since training began, earlier stretches of a resumed run included.
  package var elapsedSeconds: Double
}

/// An evaluation after a step.
package struct EvaluationMetrics: Sendable, Equatable {
  package var step: Int
  /// The mean over the labelled tokens of the validation data.
  package var loss: Double
  package var labelledTokens: Int
  /// Whether no evaluation of this run was better.
  package var isBest: Bool
  /// The fraction of texts whose class is the most likely one; nil of a language model.
  package var accuracy: Double?
}

package enum TrainingEvent: Sendable {
  /// `resumedFrom` is the checkpoint's path where the run continues one; `step` steps are done.
  case started(step: Int, stepCount: Int, resumedFrom: String?)
  case step(StepMetrics)
  /// `done` of `count` micro-batches of an evaluation.
  case evaluating(step: Int, done: Int, count: Int)
  case evaluation(EvaluationMetrics)
  case checkpointSaved(step: Int, path: String, seconds: Double)
  /// Something went wrong that does not stop the run: a damaged checkpoint was passed over, a save
  /// will be tried again, a log line waits.
  case warning(Diagnostic)
  /// Stopped by a signal, or by `Deadline.request`, after the checkpoint at `path` was committed;
  /// nil where there was nothing new to save.
  case interrupted(step: Int, signal: Int32, path: String?)
  case finished(step: Int)
}

package typealias TrainingEventSink = (TrainingEvent) -> Void
