// A run on images, from its recipe to its adapter.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAImage
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

extension TrainingRun {
  /// - Throws: as `start`.
  func trainImages() throws -> RunResult {
    let recipe = recipe.recipe
    let folder = try ImageFolder(recipe.model.path)
    // Samples before weights: a bad one shows in a second, a model may take minutes.
    let data = try ImageRunData(recipe, try ImageModelSize(folder.transformer))
    let identity = try RunIdentity(
      recipe, base: try Digest(ofContents: folder.transformer.digestInputs),
      data: try data.digest())
    try identity.check(against: recipe.digests, run: run.path)
    try record(identity)
    // In a scope of its own, so that nothing of it takes memory while the run goes on.
    let arrangement = try ImageArrangement.find(recipe, folder, data, on: machine).0
    try plan(arrangement.memory, arrangement.problem)
    let request = arrangement.request(recipe)
    let backend = try Backends.make(request)
    let model = try ImageModel(folder.transformer, backend: backend, options: request.load) {
      try report(loaded: $0)
    }
    let initial = try recipe.initialImageAdapter()
    if let initial {
      try model.addAdapters(initial)
      if !isResuming { try self.recipe.checkTargets(model) }
    } else {
      try model.addAdapters(recipe.adapterOptions)
    }
    model.dropoutSeed = recipe.dropoutSeed
    model.recomputedBlocks = arrangement.recomputedBlocks
    let config = adapterConfig(model.linears, isWhole: false, initial: initial?.config)
    let inputs = TrainingInputs(
      model: ImageTrainee(model, data.files, try recipe.flowMatching(folder)), backend: backend,
      batches: data, validation: data.validationBatches,
      artifacts: artifacts(config, identity, device: backend.name))
    let summary = summary(model, data, arrangement)
    return try train(
      inputs, summary, arrangement.memory,
      adapter: { (model.peftAdapter(config), AdapterCard.facts(recipe, summary, $0)) })
  }

  private func summary(
    _ model: ImageModel, _ data: ImageRunData, _ arrangement: ImageArrangement
  ) -> RunSummary {
    let training = recipe.recipe.training
    return RunSummary(
      name: recipe.recipe.name, device: model.backend.name, deviceChoice: arrangement.choice,
      output: run.path,
      trainableParameters: model.parameters.reduce(0) { $0 + $1.value.count },
      weightBytes: model.weightBytes, layers: model.blockCount, layersOnDisk: 0,
      stepCount: data.stepCount, report: data.report, validationRows: data.validation.count,
      logEvery: training.logEvery, saveEvery: training.saveEvery)
  }
}

extension Pipeline {
  /// What a run on images will take.
  static func imagePlan(_ resolved: ResolvedRecipe, on machine: MachineMemory) throws -> RunPlan {
    let missing = resolved.missingInputs()
    guard missing.isEmpty else { throw Diagnostics(missing) }
    let resolved = try resolved.withInitialAdapter().withStoredQuantization()
    let recipe = resolved.recipe
    let folder = try ImageFolder(recipe.model.path)
    let data = try ImageRunData(recipe, try ImageModelSize(folder.transformer))
    let (arrangement, rehearsal) = try ImageArrangement.find(recipe, folder, data, on: machine)
    let memory = arrangement.memory
    let model = rehearsal.model
    try resolved.checkTargets(model)
    let first = try data.microBatches(step: 1)
    let operations = try first.reduce(0) { $0 + (try rehearsal.step($1).operations) }
    let recomputed = model.recomputedBlocks
    model.recomputedBlocks = 0
    let plain = try rehearsal.step(data.largestBatch).operations
    var disk = DiskForecast(
      model.parameters, optimizer: recipe.optimizerOptions, keep: recipe.keptCheckpoints,
      output: recipe.output)
    // Beside a GPU paged states lie in the host's memory.
    if arrangement.device.isGPU { disk.pagedBytes = 0 }
    return RunPlan(
      recipe: resolved, device: rehearsal.device, deviceChoice: arrangement.choice,
      trainableParameters: model.parameters.reduce(0) { $0 + $1.value.count },
      report: data.report, stepCount: data.stepCount,
      largestTokens: data.largestBatch.tokens.count, memory: memory,
      memoryLimitBytes: arrangement.device.limitBytes(machine),
      placement: LayerPlacement(
        devices: Array(repeating: LayerPlacement.memory, count: model.blockCount),
        layerBytes: Array(repeating: 0, count: model.blockCount), readAheadBytes: 0),
      policies: [(.input, recomputed), (.everything, model.blockCount - recomputed)]
        .filter { $0.1 > 0 },
      operationsPerToken: operations / Double(max(1, first.reduce(0) { $0 + $1.tokens.count })),
      recomputedFraction: memory.step.operations / plain - 1,
      disk: disk, warnings: [], deviceProblem: arrangement.problem)
  }
}

extension ResolvedRecipe {
  /// - Throws: `imageUnsupported` for a recipe of images.
  func requireLanguage(_ command: String) throws(Diagnostic) {
    guard recipe.task == .image else { return }
    throw Diagnostic(
      .imageUnsupported, "`qlora \(command)` takes recipes of language models only",
      at: file.map { .file($0) }, remedy: "use train, resume, plan or verify-resume")
  }
}
