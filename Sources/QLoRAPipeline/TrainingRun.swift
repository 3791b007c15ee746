// A run from its recipe to its adapter: the composition root of training.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRARecipe
import QLoRAReport
import QLoRASystem
import QLoRATensor
import QLoRATraining

/// What a run tells its listeners before and while it trains.
package enum RunEvent: Sendable {
  /// The fraction of the model that is loaded.
  case loading(Double)
  case prepared(RunSummary)
  case training(TrainingEvent)
  case exported(path: String)
}

/// What a run is about to do.
package struct RunSummary: Sendable {
  package var name: String
  package var device: String
  /// What device `auto` took and why, where there was a choice.
  package var deviceChoice: String?
  package var output: String
  package var trainableParameters: Int
  /// Of the weights in memory.
  package var weightBytes: Int
  package var layers: Int
  package var layersOnDisk: Int
  package var stepCount: Int
  package var report: EncodingReport
  package var validationRows: Int
  /// Steps between progress lines, and between checkpoints; 0 = only at the end.
  package var logEvery: Int
  package var saveEvery: Int
}

/// How a run ended well.
package struct RunResult: Sendable {
  package var outcome: TrainingOutcome
  package var output: String
  /// nil where the run was interrupted.
  package var adapterPath: String?
}

package struct TrainingRun {
  let recipe: ResolvedRecipe
  let run: RunDirectory
  private let cache: WeightCache?
  let machine: MachineMemory
  let isResuming: Bool
  /// Whether the recipe in the run names other places of inputs.
  var hasMovedInputs = false
  /// Signals, and the end of the time that the recipe or a scheduler gives.
  private let interruption: () -> Int32?
  private let planned = PlannedMemory()
  let events: (RunEvent) -> Void

  /// Starts a run in a directory without a committed checkpoint.
  ///
  /// - Parameters:
  ///   - interruption: polled after every block that is loaded and before every micro-batch; a
  ///     signal number asks to stop. Where it is nil, the process's own signals ask, for which
  ///     handlers are installed.
  ///   - secondsLeft: until a scheduler ends the process; nil where none does.
  /// - Throws: for missing inputs (66), a locked or used directory (73), and whatever loading and
  ///   training meet.
  package static func start(
    _ recipe: ResolvedRecipe, cache: WeightCache? = nil,
    on machine: MachineMemory = MachineMemory(), interruption: (() -> Int32?)? = nil,
    secondsLeft: Double? = nil, fileSystem: any FileSystem = PosixFileSystem(),
    events: @escaping (RunEvent) -> Void = { _ in }
  ) throws -> RunResult {
    let interruption = stopping(interruption, recipe, secondsLeft)
    let missing = recipe.missingInputs()
    guard missing.isEmpty else { throw Diagnostics(missing) }
    let recipe = try recipe.withLabels().withInitialAdapter().withStoredQuantization()
    let run = try RunDirectory(starting: recipe.recipe.output, fileSystem)
    do {
      return try TrainingRun(
        recipe: recipe, run: run, cache: cache, machine: machine, isResuming: false,
        interruption: interruption, events: events
      ).perform()
    } catch {
      run.abandon()
      throw error
    }
  }

  /// Continues a run bit for bit, from step 1 where it has no checkpoint; a finished one completes
  /// whatever export is missing.
  ///
  /// - Parameter moved: where inputs are now.
  /// - Throws: as `start`, and with exit code 78 where recipe, model, tokenizer or data changed.
  package static func resume(
    _ directory: String, moved: [RecipeOverride] = [], cache: WeightCache? = nil,
    on machine: MachineMemory = MachineMemory(),
    interruption: (() -> Int32?)? = nil, secondsLeft: Double? = nil,
    events: @escaping (RunEvent) -> Void = { _ in }
  ) throws -> RunResult {
    let interruption = interruption ?? stopOnSignals()
    let run = try RunDirectory(resuming: directory)
    let saved = try savedRecipe(of: run, moved: moved) { events(.training(.warning($0))) }
    let missing = saved.missingInputs()
    guard missing.isEmpty else { throw Diagnostics(missing) }
    return try TrainingRun(
      recipe: saved.withLabels(), run: run, cache: cache, machine: machine, isResuming: true,
      hasMovedInputs: !moved.isEmpty,
      interruption: stopping(interruption, saved, secondsLeft), events: events
    ).perform()
  }

  package static func stopOnSignals() -> @Sendable () -> Int32? {
    Signals.install()
    return { Signals.pending }
  }

  /// What asks for a stop: signals first, then the nearest end of time.
  private static func stopping(
    _ interruption: (() -> Int32?)?, _ recipe: ResolvedRecipe, _ secondsLeft: Double?
  ) -> () -> Int32? {
    let interruption = interruption ?? stopOnSignals()
    let own = recipe.recipe.training.maxWallTime.map { Double($0.seconds) }
    guard let seconds = [own, secondsLeft].compactMap({ $0 }).min() else { return interruption }
    // A generation at most: more does not fit a duration.
    let deadline = Deadline(.seconds(min(max(0, seconds), 1e9)))
    return { interruption() ?? deadline.poll() }
  }

  private func perform() throws -> RunResult {
    do {
      return try loadAndTrain()
    } catch let stop as StoppedWhileLoading {
      let step = try run.checkpoints.steps().first ?? 0
      events(.training(.interrupted(step: step, signal: stop.signal, path: nil)))
      return RunResult(
        outcome: .interrupted(step: step, signal: stop.signal, path: nil), output: run.path,
        adapterPath: nil)
    } catch let failure as Diagnostic where failure.code == .deviceLost {
      throw afterFailure(failure, remedy: "`qlora resume \(run.path)` goes on from there")
    } catch let failure as Diagnostic where failure.code == .deviceMemoryExhausted {
      // What was refused before anything was computed has said all.
      guard let memory = planned.memory else { throw failure }
      throw afterFailure(
        failure, "; the plan was \(memory.words)",
        remedy: (failure.remedy.map { "\($0); " } ?? "")
          + "where there is room again, `qlora resume \(run.path)` goes on from there; or begin "
          + "anew with training.activationMemory \"full\", a smaller training.batchSize or "
          + "data.maxTokens")
    }
  }

  /// A device failed: says what is left of the run.
  private func afterFailure(
    _ failure: Diagnostic, _ more: String = "", remedy: String
  ) -> Diagnostic {
    let last = ((try? run.checkpoints.steps()) ?? []).max()
    let kept = last.map { "the last checkpoint is of step \($0)" } ?? "there is no checkpoint yet"
    return Diagnostic(
      failure.code, "\(failure.message)\(more); \(kept)", at: .file(run.path), remedy: remedy)
  }

  /// Puts on record what the run will take.
  /// - Throws: the problem, if there is one.
  func plan(_ memory: MemoryForecast, _ problem: Diagnostic?) throws {
    if let problem { throw problem }
    planned.memory = memory
  }

  private func loadAndTrain() throws -> RunResult {
    let recipe = recipe.recipe
    // First of all, so that a run killed from here on can be resumed.
    if !isResuming { try save(recipe) }
    if recipe.task == .image { return try trainImages() }
    // Rows before weights: a bad row shows in a second, a model may take minutes.
    let source = try ModelSource.open(recipe.model.path)
    try recipe.checkModulesToSave(source.config)
    let text = try ModelText(source)
    let data = try RunData(recipe, text: text, scratchFolder: run.path)
    let content = try source.contentDigest()
    let identity = try RunIdentity(recipe, source, base: content, text: text, data: data)
    try identity.check(against: recipe.digests, run: run.path)
    try record(identity)
    // Before the weights too: a budget that is too small is known without them.
    let arrangement = try arrange(source, data)
    let loaded = try LoadedModel.load(
      arrangement.request(recipe), source, text, content: content,
      layout: arrangement.layout, scratchFolder: run.path, cache: cache
    ) { try report(loaded: $0) }
    let config = try prepare(loaded.model)
    loaded.model.activationPolicies = arrangement.policies
    return try train(loaded, data, identity, config, arrangement)
  }

  /// - Throws: where the run is asked to stop.
  func report(loaded fraction: Double) throws {
    events(.loading(fraction))
    if let signal = interruption() { throw StoppedWhileLoading(signal: signal) }
  }

  private func arrange(_ source: ModelSource, _ data: RunData) throws -> Arrangement {
    let (arrangement, rehearsal) = try RunMemory(recipe.recipe, source: source, data: data)
      .arrangement(on: machine)
    try plan(arrangement.memory, arrangement.problem)
    // What a run began with stays, whatever a later version would say of it.
    if !isResuming { try recipe.checkTargets(rehearsal.model) }
    for slip in try source.warnings + recipe.recipe.warnings(about: rehearsal.model) {
      events(.training(.warning(slip)))
    }
    return arrangement
  }

  /// Puts the adapters on the model. Returns their configuration.
  private func prepare(_ model: DecoderModel) throws -> PEFTAdapterConfig {
    let initial = try recipe.recipe.addAdapters(to: model)
    return adapterConfig(
      model.linears, isWhole: model.config.holder == nil, classifier: model.classifier,
      isOfReader: model.readsAndWrites, initial: initial)
  }

  private func train(
    _ loaded: LoadedModel, _ data: RunData, _ identity: RunIdentity, _ config: PEFTAdapterConfig,
    _ arrangement: Arrangement
  ) throws -> RunResult {
    let recipe = recipe.recipe
    let plan = BatchPlan(rows: data.train, settings: recipe.batchSettings)
    let inputs = TrainingInputs(
      model: loaded.model, backend: loaded.model.backend, batches: batches(plan),
      validation: try data.validationBatches(recipe.batchSettings),
      artifacts: artifacts(config, identity, device: loaded.model.backend.name))
    let summary = summary(loaded.model, plan, data, arrangement)
    return try train(
      inputs, summary, arrangement.memory,
      adapter: { (loaded.model.peftAdapter(config), AdapterCard.facts(recipe, summary, $0)) },
      afterwards: { records in
        guard !arrangement.layout.placement.usesDisk else { return }
        try records.sample(loaded, data.validation, recipe, until: { interruption() != nil })
      })
  }

  /// Trains to the end and writes what a finished run leaves.
  ///
  /// - Parameters:
  ///   - adapter: what is exported, and what its card says of the training.
  ///   - afterwards: what else is put on record of a run that ended.
  func train(
    _ inputs: TrainingInputs, _ summary: RunSummary, _ memory: MemoryForecast,
    adapter: (RunHistory) -> (PEFTAdapter, facts: [(String, String)]),
    afterwards: (RunRecords) throws -> Void = { _ in }
  ) throws -> RunResult {
    let recipe = recipe.recipe
    events(.prepared(summary))
    let records = RunRecords(run) { events(.training(.warning($0))) }
    let facts = RunFacts(summary, recipe: recipe, memory: memory)
    records.write(facts)
    let trainer = try Trainer(
      inputs, options: recipe.trainingOptions(stepCount: summary.stepCount), run: run,
      events: {
        events(.training($0))
        records.note($0)
      }, interruption: interruption)
    var state = RunState.interrupted
    defer { records.draw(recipe.name, state) }
    let outcome: TrainingOutcome
    do {
      outcome = try trainer.train()
    } catch let failure as Diagnostic {
      state = .failed
      records.write(facts.ended(by: failure))
      throw failure
    }
    guard case .finished = outcome else {
      return RunResult(outcome: outcome, output: run.path, adapterPath: nil)
    }
    // The card's bytes depend on it: a log that can't be read stops the export until a resume.
    let (trained, cardFacts) = adapter(try records.history())
    try exportAdapter(trained, cardFacts)
    state = .finished
    events(.exported(path: run.adapterPath))
    try afterwards(records)
    return RunResult(outcome: outcome, output: run.path, adapterPath: run.adapterPath)
  }

  private func batches(_ plan: BatchPlan) -> PlannedBatches {
    let names = recipe.recipe.data.train.map { FilePath.lastComponent(of: $0.path) }
    return PlannedBatches(plan: plan, sources: names)
  }

  private func summary(
    _ model: DecoderModel, _ plan: BatchPlan, _ data: RunData, _ arrangement: Arrangement
  ) -> RunSummary {
    let placement = arrangement.layout.placement
    return RunSummary(
      name: recipe.recipe.name, device: model.backend.name, deviceChoice: arrangement.choice,
      output: run.path,
      trainableParameters: model.parameters.reduce(0) { $0 + $1.value.count },
      weightBytes: model.weightBytes, layers: placement.devices.count,
      layersOnDisk: placement.layers(on: LayerPlacement.disk).count,
      stepCount: plan.stepCount, report: data.report,
      validationRows: data.validation.count, logEvery: recipe.recipe.training.logEvery,
      saveEvery: recipe.recipe.training.saveEvery)
  }
}

/// Ends a load that was asked to stop: nothing is lost, and a model may take minutes.
private struct StoppedWhileLoading: Error {
  let signal: Int32
}

/// What a run will take, once that is known.
private final class PlannedMemory {
  var memory: MemoryForecast?
}
