// A few steps of a run before it is started: what they take says how long the run will take. What
// they write goes to a folder that is gone afterwards.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What was measured, and what follows from it.
package struct RunTrial: Sendable {
  package struct Step: Sendable, Equatable {
    /// In the run.
    package var step: Int
    package var tokens: Int
    package var seconds: Double
  }

  package var loadSeconds: Double
  package var steps: [Step]
  /// Of the steps after the first, which also touches memory for the first time.
  package var tokensPerSecond: Double
  /// Of one evaluation; nil without validation data.
  package var evaluationSeconds: Double?
  package var evaluations: Int
  /// Of one checkpoint.
  package var saveSeconds: Double
  package var saves: Int
  /// Of the whole run, loading included.
  package var totalSeconds: Double
  /// Of this process, with its steps, its evaluation and its save.
  package var peakBytes: Int
}

extension Pipeline {
  /// Plans a run, then takes three of its steps, an evaluation of a few batches, and a save.
  ///
  /// - Throws: as `plan` and `train`, and `trialStopped` where a signal arrives.
  package static func measure(
    _ resolved: ResolvedRecipe, on machine: MachineMemory = MachineMemory(),
    interruption: @escaping () -> Int32? = TrainingRun.stopOnSignals(),
    progress: @escaping (Double) -> Void = { _ in }
  ) throws -> (plan: RunPlan, trial: RunTrial) {
    try resolved.requireLanguage("plan --measure")
    let planned = try PlannedRun(resolved, on: machine)
    // What does not fit is not tried.
    if let problem = planned.plan.problem { throw problem }
    let trial = try TrialRun(planned, interruption: interruption, progress: progress).perform()
    return (planned.plan, trial)
  }
}

/// Some of a run's steps, renumbered.
private struct ChosenSteps: BatchSource {
  let batches: BatchPlan
  let steps: [Int]

  var stepCount: Int { steps.count }

  func microBatches(step: Int) throws -> [TokenBatch] {
    try batches.microBatches(step: steps[step - 1]).map(\.tokenBatch)
  }
}

private struct TrialRun {
  /// Enough to tell the first one, which warms up, from the others.
  private static let stepCount = 3
  /// The rest of an evaluation is as fast as these.
  private static let validationBatches = 4

  private let planned: PlannedRun
  private let work: RunWork
  private let interruption: () -> Int32?
  private let progress: (Double) -> Void

  init(
    _ planned: PlannedRun, interruption: @escaping () -> Int32?,
    progress: @escaping (Double) -> Void
  ) throws {
    self.planned = planned
    work = try RunWork(
      planned.batches, planned.source.config,
      adapterParameters: planned.plan.trainableParameters)
    self.interruption = interruption
    self.progress = progress
  }

  func perform() throws -> RunTrial {
    let recipe = planned.plan.recipe.recipe
    let files = PosixFileSystem()
    let folder = FilePath.join(
      InferenceMemory.scratchFolder, "qlora-trial-\(UUID().uuidString)")
    defer { try? files.removeTree(folder) }
    let run = try RunDirectory(starting: folder)
    let clock = ContinuousClock()
    let start = clock.now
    let loaded = try LoadedModel.load(
      planned.arrangement.request(recipe), planned.source, planned.text,
      layout: planned.arrangement.layout,
      scratchFolder: folder, cache: nil
    ) { fraction in
      if interruption() != nil { throw Self.stop }
      progress(fraction)
    }
    _ = try recipe.addAdapters(to: loaded.model)
    loaded.model.activationPolicies = planned.arrangement.policies
    let loadSeconds = clock.now.seconds(since: start)
    return report(try train(loaded.model, run), loadSeconds)
  }

  private static let stop = Diagnostic(
    .trialStopped, "stopped by a signal before the steps were measured",
    remedy: "run it again; nothing was kept")

  /// The first steps and the one with the largest micro-batch of those looked at, which is where a
  /// run's memory peaks.
  private var chosenSteps: [Int] {
    let count = min(Self.stepCount, planned.batches.stepCount)
    let steps = Array(1...count)
    guard count == Self.stepCount, let largest = work.stepOfLargestBatch, largest > count
    else { return steps }
    return steps.dropLast() + [largest]
  }

  private func train(_ model: DecoderModel, _ run: RunDirectory) throws -> StopWatch {
    let recipe = planned.plan.recipe.recipe
    let validation = try planned.data.validationBatches(recipe.batchSettings)
    let watch = StopWatch(steps: chosenSteps)
    watch.validationTokens = validation.reduce(0) { $0 + $1.tokens.count }
    let largest = validation.max { $0.tokens.count < $1.tokens.count }
    let tried = Array(validation.prefix(Self.validationBatches)) + [largest].compactMap { $0 }
    watch.triedTokens = tried.reduce(0) { $0 + $1.tokens.count }
    let inputs = TrainingInputs(
      model: model, backend: model.backend,
      batches: ChosenSteps(batches: planned.batches, steps: watch.chosen), validation: tried,
      artifacts: CheckpointArtifacts(
        codec: SafetensorsCodec(), adapterConfiguration: [], identity: [], provenance: []))
    var options = recipe.trainingOptions(stepCount: planned.batches.stepCount)
    (options.evalEvery, options.saveEvery) = (0, 0)
    let trainer = try Trainer(
      inputs, options: options, run: run, events: watch.note, interruption: interruption)
    guard case .finished = try trainer.train() else { throw Self.stop }
    return watch
  }

  private func report(_ watch: StopWatch, _ loadSeconds: Double) -> RunTrial {
    let training = planned.plan.recipe.recipe.training
    let steps = watch.steps
    let paced = steps.count > 1 ? Array(steps.dropFirst()) : steps
    let seconds = paced.reduce(0) { $0 + $1.seconds }
    let operations = paced.reduce(0) { $0 + work.operations(step: $1.step) }
    let stepCount = planned.batches.stepCount
    func times(_ interval: Int) -> Int { interval > 0 ? (stepCount + interval - 1) / interval : 1 }
    let evaluation = watch.evaluationSeconds.map {
      $0 * Double(watch.validationTokens) / Double(max(1, watch.triedTokens))
    }
    let (evaluations, saves) = (times(training.evalEvery), times(training.saveEvery))
    return RunTrial(
      loadSeconds: loadSeconds, steps: steps,
      tokensPerSecond: Double(paced.reduce(0) { $0 + $1.tokens }) / max(seconds, 1e-9),
      evaluationSeconds: evaluation, evaluations: evaluations, saveSeconds: watch.saveSeconds,
      saves: saves,
      totalSeconds: loadSeconds + work.total * seconds / max(operations, 1)
        + (evaluation ?? 0) * Double(evaluations) + watch.saveSeconds * Double(saves),
      peakBytes: ProcessMemory.peakByteCount)
  }
}

/// What the trainer's events say about time.
private final class StopWatch {
  let chosen: [Int]
  private(set) var steps: [RunTrial.Step] = []
  private(set) var evaluationSeconds: Double?
  private(set) var saveSeconds = 0.0
  var validationTokens = 0
  var triedTokens = 0
  private let clock = ContinuousClock()
  private var last: ContinuousClock.Instant

  init(steps: [Int]) {
    chosen = steps
    last = clock.now
  }

  func note(_ event: TrainingEvent) {
    switch event {
    case .step(let metrics):
      steps.append(
        RunTrial.Step(
          step: chosen[metrics.step - 1], tokens: metrics.tokens,
          seconds: Double(metrics.tokens) / metrics.tokensPerSecond))
      last = clock.now
    case .evaluation: evaluationSeconds = clock.now.seconds(since: last)
    case .checkpointSaved(_, _, let seconds): saveSeconds = seconds
    default: break
    }
  }
}
