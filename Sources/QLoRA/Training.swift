// Training from Swift: what `qlora train` and `qlora resume` do, with a closure for the progress.
import QLoRADiagnostics
import QLoRAPipeline
import QLoRATraining

/// What a run tells while it goes on.
public enum TrainingProgress: Sendable {
  /// The fraction of the base model that is loaded.
  case loading(Double)
  /// Steps begin: so many are done, so many there will be.
  case started(step: Int, of: Int)
  /// One optimizer step: its mean loss over labelled tokens before the update, and its speed.
  case step(Int, loss: Double, tokensPerSecond: Double)
  /// The mean loss over the validation rows after a step.
  case evaluated(step: Int, loss: Double)
  /// A checkpoint that a run can be resumed from.
  case saved(step: Int, path: String)
  /// Something went wrong that does not end the run.
  case warning(Diagnostic)
}

/// How a run ended.
public struct TrainingResult: Sendable {
  /// The run's folder; `resume` takes it.
  public let run: String
  /// The PEFT adapter's folder; nil where the run was asked to stop.
  public let adapter: String?
  /// Steps that are done.
  public let steps: Int
  /// Of the last step.
  public let loss: Double?
  /// Of the last evaluation.
  public let evaluationLoss: Double?
}

extension TrainingRecipe {
  /// Trains an adapter. Blocks until it is done; all cores work meanwhile.
  ///
  /// - Parameters:
  ///   - progress: called on the thread that trains.
  ///   - shouldStop: asked before every micro-batch; where it says yes, the run saves a checkpoint
  ///     and ends, to be resumed.
  /// - Throws: `Diagnostics` where the recipe is wrong, else a `Diagnostic` that says what to do.
  ///   Committed checkpoints stay intact.
  public func train(
    progress: @escaping (TrainingProgress) -> Void = { _ in },
    shouldStop: @escaping () -> Bool = { false }
  ) throws -> TrainingResult {
    let outcome = try Pipeline.train(
      try resolved(), interruption: { shouldStop() ? Self.stop : nil }
    ) { Self.forward($0, to: progress) }
    return TrainingResult(outcome)
  }

  /// Continues a run bit for bit from its newest checkpoint.
  ///
  /// - Parameters:
  ///   - run: its folder.
  ///   - progress: as for `train(progress:shouldStop:)`.
  ///   - shouldStop: as there.
  /// - Throws: as there, and where model, rows or recipe are not those of the run.
  public static func resume(
    run: String, progress: @escaping (TrainingProgress) -> Void = { _ in },
    shouldStop: @escaping () -> Bool = { false }
  ) throws -> TrainingResult {
    let outcome = try Pipeline.resume(
      runDirectory: run, interruption: { shouldStop() ? stop : nil }
    ) { forward($0, to: progress) }
    return TrainingResult(outcome)
  }

  /// Any request will do: a program of its own has no signal to name.
  private static let stop = Deadline.request

  private static func forward(
    _ event: RunEvent, to progress: (TrainingProgress) -> Void
  ) {
    switch event {
    case .loading(let fraction): progress(.loading(fraction))
    case .training(.started(let step, let count, _)): progress(.started(step: step, of: count))
    case .training(.step(let metrics)):
      progress(
        .step(metrics.step, loss: metrics.loss, tokensPerSecond: metrics.tokensPerSecond))
    case .training(.evaluation(let metrics)):
      progress(.evaluated(step: metrics.step, loss: metrics.loss))
    case .training(.checkpointSaved(let step, let path, _)):
      progress(.saved(step: step, path: path))
    case .training(.warning(let diagnostic)): progress(.warning(diagnostic))
    default: break
    }
  }
}

extension TrainingResult {
  init(_ outcome: RunOutcome) {
    self.init(
      run: outcome.runDirectory, adapter: outcome.adapterPath, steps: outcome.step,
      loss: outcome.lastLoss, evaluationLoss: outcome.evalLoss)
  }
}
