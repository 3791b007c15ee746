// The training loop: straight-line and synchronous. It knows parameters, batches and files, and
// neither recipes nor architectures.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

/// How a call of `Trainer.run` ended well.
package enum TrainingOutcome: Sendable, Equatable {
  case finished(step: Int)
  /// Asked to stop by `signal`; the checkpoint at `path` is committed, nil where there was nothing
  /// new to save.
  ///
  /// The signal is 0 where it was not a signal that asked, but the end of the run's time.
  case interrupted(step: Int, signal: Int32, path: String?)
}

/// What a run works on.
package struct TrainingInputs {
  package var model: any TrainableModel
  package var backend: any OptimizerBackend
  package var batches: any BatchSource
  /// Empty = no evaluation.
  package var validation: [TokenBatch]
  package var artifacts: CheckpointArtifacts

  package init(
    model: any TrainableModel, backend: any OptimizerBackend, batches: any BatchSource,
    validation: [TokenBatch] = [], artifacts: CheckpointArtifacts
  ) {
    self.model = model
    self.backend = backend
    self.batches = batches
    self.validation = validation
    self.artifacts = artifacts
  }
}

/// Trains one model in one run directory.
///
/// Only the optimizer's update changes parameters, and batches are a pure function of the step. So
/// a step can be abandoned anywhere before its update, the state then being that of the last step's
/// end, and repeated later with the same bits.
package final class Trainer {
  let inputs: TrainingInputs
  let options: TrainingOptions
  let run: RunDirectory
  let interruption: () -> Int32?
  let events: TrainingEventSink
  let gradients: Gradients
  let optimizer: any Optimizer
  var state = TrainingState()
  var lastSavedStep: Int?
  var saveFailures = 0
  var isLogFailing = false
  /// What an update changes, the parameters first; they share the model's and optimizer's memory.
  let updated: [NamedTensor]
  var log: JSONLinesWriter?
  /// When this stretch of the run began, and what the stretches before took.
  private var began = ContinuousClock.now
  private var secondsBefore = 0.0

  /// - Parameters:
  ///   - interruption: polled before every micro-batch; a signal number asks the run to stop.
  /// - Throws: where the disk has no room for the states of a paged optimizer.
  package init(
    _ inputs: TrainingInputs, options: TrainingOptions, run: RunDirectory,
    events: @escaping TrainingEventSink = { _ in },
    interruption: @escaping () -> Int32? = { Signals.pending }
  ) throws(Diagnostic) {
    self.inputs = inputs
    self.options = options
    self.run = run
    self.interruption = interruption
    self.events = events
    gradients = Gradients(inputs.model.parameters, backend: inputs.backend)
    optimizer = try options.optimizer.makeOptimizer(
      inputs.model.parameters, backend: inputs.backend, pagesIn: run.path)
    updated = inputs.model.parameters.map { NamedTensor($0.name, $0.value) } + optimizer.state
  }

  package var stepCount: Int { inputs.batches.stepCount }

  /// Since training began, evaluations and saves included, pauses between stretches not.
  var elapsedSeconds: Double { secondsBefore + (ContinuousClock.now - began).seconds }

  /// Continues from the newest intact checkpoint, or starts at step 1, and trains to the end.
  ///
  /// - Throws: diagnostics with exit codes 65, 74, 78 and 80; committed checkpoints stay intact.
  package func train() throws -> TrainingOutcome {
    guard stepCount > 0 else {
      throw Diagnostic(.nothingToTrain, "there is no step to train")
    }
    let checkpoint = try restoreNewest()
    (began, secondsBefore) = (.now, state.elapsedSeconds)
    log = try JSONLinesWriter(
      run.metricsPath, keeping: state.metricsByteCount, run.fileSystem)
    events(.started(step: state.step, stepCount: stepCount, resumedFrom: checkpoint))
    do {
      return try finishedOrStopped()
    } catch let failure as NonFiniteStep {
      throw failure.diagnostic
    }
  }

  private func finishedOrStopped() throws -> TrainingOutcome {
    do {
      try trainToEnd()
    } catch let stop as Interruption {
      return try stopped(by: stop)
    }
    events(.finished(step: state.step))
    return .finished(step: state.step)
  }

  private func trainToEnd() throws {
    if state.isEvaluationPending { _ = try counts { try evaluate() } }
    while state.step < stepCount {
      guard try counts({ try trainStep(state.step + 1) }) else { continue }
      if !inputs.validation.isEmpty, isDue(options.evalEvery) {
        state.isEvaluationPending = true
        guard try counts({ try evaluate() }) else { continue }
      }
      if isDue(options.saveEvery), state.step < stepCount { _ = try counts(saveOrWarn) }
    }
    if lastSavedStep != state.step { _ = try save() }
  }

  private func isDue(_ interval: Int) -> Bool {
    TrainingOptions.isDue(interval, step: state.step, stepCount: stepCount)
  }

  /// Leaves the current micro-batch when asked to.
  func checkInterruption() throws(Interruption) {
    if let signal = interruption() { throw Interruption(signal: signal) }
  }

  private func stopped(by stop: Interruption) throws -> TrainingOutcome {
    let path =
      lastSavedStep == state.step ? run.checkpoints.path(step: state.step) : try save()
    events(.interrupted(step: state.step, signal: stop.signal, path: path))
    return .interrupted(step: state.step, signal: stop.signal, path: path)
  }
}

/// Unwinds to the last step's end. It never leaves this module.
struct Interruption: Error {
  let signal: Int32
}
