// What a run will be and take, before it is started: found without reading a weight, and written
// nowhere.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import QLoRATraining

package struct RunPlan {
  package var recipe: ResolvedRecipe
  package var device: String
  /// What device `auto` took and why, where there was a choice.
  package var deviceChoice: String?
  package var trainableParameters: Int
  package var report: EncodingReport
  package var stepCount: Int
  /// Tokens of the largest micro-batch, which memory is stated for.
  package var largestTokens: Int
  package var memory: MemoryForecast
  /// Bytes that the machine, or the container, has for this process in all; nil where unknown.
  package var memoryLimitBytes: Int?
  package var placement: LayerPlacement
  /// How many blocks have each policy that some block has.
  package var policies: [(policy: ActivationPolicy, blocks: Int)]
  /// Of products and attention, over the first step's own batches, forward and backward.
  package var operationsPerToken: Double
  /// Operations that recomputation adds, relative to a step without any.
  package var recomputedFraction: Double
  package var disk: DiskForecast
  /// What is probably a slip.
  package var warnings: [Diagnostic]
  /// Why the GPU that was asked for is not enough.
  var deviceProblem: Diagnostic?

  package var fits: Bool { problem == nil }

  /// Why it does not fit; nil where it does.
  package var problem: Diagnostic? {
    if let deviceProblem { return deviceProblem }
    if let limit = memoryLimitBytes, memory.peakBytes > limit {
      return Diagnostic(
        .memoryExceeded,
        "the run needs \(ByteCount.atLeast(memory.peakBytes)) of memory, and there are "
          + "\(ByteCount.atLeast(limit))",
        remedy: recipe.recipe.training.activationMemory == .full
          ? "lower training.batchSize"
          : "lower training.batchSize, or set training.activationMemory to a size or \"full\"")
    }
    if !disk.fits, let available = disk.availableBytes {
      return Diagnostic(
        .diskExceeded,
        "the run needs \(ByteCount.atLeast(disk.totalBytes)) of disk space, and there are "
          + "\(ByteCount.atLeast(available))",
        at: .file(recipe.recipe.output), remedy: "free some space, or lower training.keep")
    }
    return nil
  }
}

/// What a run leaves on the disk, in bytes.
package struct DiskForecast: Sendable, Equatable {
  package var adapterBytes: Int
  package var checkpointBytes: Int
  /// Checkpoints that exist at once: those that are kept, and the next one while it is written.
  package var checkpoints: Int
  /// Of layers that wait on the disk, and of states that an optimizer keeps there: as long as the
  /// process runs. Layers may lie in the cache of bases instead.
  package var layerBytes: Int
  package var pagedBytes: Int
  /// nil where the system does not say.
  package var availableBytes: Int?

  package var totalBytes: Int {
    adapterBytes + checkpoints * checkpointBytes + layerBytes + pagedBytes
  }
  package var fits: Bool { totalBytes <= availableBytes ?? .max }

  /// Where the output's folder is, or is going to be.
  private static func freeBytes(_ output: String) -> Int? {
    let files = PosixFileSystem()
    var folder = output
    while (try? files.status(folder)) ?? nil == nil {
      let parent = FilePath.parent(of: folder)
      if parent == folder { return nil }
      folder = parent
    }
    return try? files.freeByteCount(folder)
  }

  init(
    _ parameters: [Parameter], optimizer: OptimizerOptions, keep: Int, layerBytes: Int = 0,
    output: String
  ) {
    // Name, type, shape and offsets of one tensor in the header of a safetensors file.
    let entryBytes = 160
    let values = parameters.reduce(0) { $0 + $1.value.byteCount + entryBytes }
    adapterBytes = values
    checkpointBytes = parameters.reduce(values) { sum, parameter in
      optimizer.stateByteCounts(of: parameter.value.count).reduce(sum) { $0 + $1 + entryBytes }
    }
    checkpoints = keep + 1
    self.layerBytes = layerBytes
    pagedBytes = optimizer.diskBytes(of: parameters.map(\.value.count))
    availableBytes = Self.freeBytes(output)
  }
}

extension Pipeline {
  /// - Throws: what is wrong with the recipe's inputs, and `activationBudgetTooSmall`.
  package static func plan(
    _ resolved: ResolvedRecipe, on machine: MachineMemory = MachineMemory()
  ) throws -> RunPlan {
    if resolved.recipe.task == .image { return try imagePlan(resolved, on: machine) }
    return try PlannedRun(resolved, on: machine).plan
  }
}

/// A plan, and what it was made from.
struct PlannedRun {
  let plan: RunPlan
  let source: ModelSource
  let text: ModelText
  let data: RunData
  let batches: BatchPlan
  let arrangement: Arrangement

  init(_ resolved: ResolvedRecipe, on machine: MachineMemory) throws {
    let missing = resolved.missingInputs()
    guard missing.isEmpty else { throw Diagnostics(missing) }
    let resolved = try resolved.withLabels().withInitialAdapter().withStoredQuantization()
    let recipe = resolved.recipe
    source = try ModelSource.open(recipe.model.path)
    try recipe.checkModulesToSave(source.config)
    text = try ModelText(source)
    data = try RunData(recipe, text: text)

    let run = RunMemory(recipe, source: source, data: data)
    let rehearsal: Rehearsal
    (arrangement, rehearsal) = try run.arrangement(on: machine)
    try resolved.checkTargets(rehearsal.model)
    let policies = arrangement.policies
    let limit = arrangement.device.limitBytes(machine)
    let batch = run.largestBatch
    let plain = rehearsal.step(batch, policies.map { _ in .everything })

    batches = BatchPlan(rows: data.train, settings: recipe.batchSettings)
    let first = try batches.microBatches(step: 1).map(\.tokenBatch)
    let operations = first.reduce(0) { $0 + rehearsal.step($1, policies).operations }
    let tokens = first.reduce(0) { $0 + $1.tokens.count }
    var disk = DiskForecast(
      rehearsal.model.parameters, optimizer: recipe.optimizerOptions, keep: recipe.keptCheckpoints,
      layerBytes: arrangement.layout.onDiskOnly.byteCount, output: recipe.output)
    // Beside a GPU paged states lie in the host's memory.
    if arrangement.device.isGPU { disk.pagedBytes = 0 }
    plan = RunPlan(
      recipe: resolved, device: rehearsal.device, deviceChoice: arrangement.choice,
      trainableParameters: rehearsal.parameterCount,
      report: data.report, stepCount: batches.stepCount, largestTokens: batch.tokens.count,
      memory: arrangement.memory, memoryLimitBytes: limit,
      placement: arrangement.layout.placement,
      policies: ActivationPolicy.allCases.map { policy in
        (policy, policies.count { $0 == policy })
      }.filter { $0.1 > 0 },
      operationsPerToken: operations / Double(max(1, tokens)),
      recomputedFraction: arrangement.memory.step.operations / plain.operations - 1,
      disk: disk,
      warnings: try source.warnings + recipe.warnings(about: rehearsal.model),
      deviceProblem: arrangement.problem)
  }
}
