// What benchmarks time: real models, real steps, random tokens. Nothing here is for results.

import QLoRACPU
import QLoRACUDA
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

/// What loading a model took.
package struct LoadMeasurement: Sendable {
  package var device: String
  package var seconds: Double
  /// Of the linears, which are what is quantized.
  package var linearParameters: Int
  /// Bytes of the prepared weights.
  package var weightBytes: Int
  /// Of the process, when the model was ready.
  package var peakMemoryBytes: Int
}

/// What a few training steps took.
package struct StepMeasurement: Sendable {
  package var load: LoadMeasurement
  package var memory: MemoryForecast
  /// What the run took of a GPU's memory; nil on the processor.
  package var deviceMemoryBytes: Int?
  /// What a large product reaches there; nil on the processor, and without room for it.
  package var peak: MeasuredPeak?
  package var placement: LayerPlacement
  /// Of the layers on disk, in all steps.
  package var reading: ReadStatistics
  /// The wall time of all steps.
  package var allStepSeconds: Double
  /// Without those that warmed up.
  package var steps: [StepMetrics]
  package var cost: StepCost
}

private struct RepeatedStep: BatchSource {
  let batches: [TokenBatch]
  let stepCount: Int

  func microBatches(step: Int) throws -> [TokenBatch] { batches }
}

extension Pipeline {
  /// Weights only: tokenizers take time and memory that say nothing about them.
  private static func measuredLoad(
    _ request: ModelRequest, _ shape: ModelShape?, _ layout: WeightLayout? = nil
  ) throws -> (model: DecoderModel, measurement: LoadMeasurement) {
    let backend = try Backends.make(request)
    let clock = ContinuousClock()
    let start = clock.now
    let source = try source(request, shape)
    let isBounded = layout == nil && request.maxMemory != nil && !request.device.isGPU
    let layout =
      isBounded
      ? try InferenceMemory(source, request, adapterBytes: 0).layout(on: MachineMemory()) : layout
    let model =
      if let layout, layout.placement.usesDisk {
        try PlacedLoad(
          source: source, backend: backend, options: request.load, layout: layout, shelf: nil,
          scratchFolder: InferenceMemory.scratchFolder, progress: { _ in }
        ).load()
      } else {
        try ModelLoader(source, backend: backend, options: request.load).load()
      }
    let parameters = model.linears.reduce(0) { $0 + $1.weight.outFeatures * $1.weight.inFeatures }
    return (
      model,
      LoadMeasurement(
        device: backend.words,
        seconds: clock.now.seconds(since: start), linearParameters: parameters,
        weightBytes: model.weightBytes, peakMemoryBytes: ProcessMemory.peakByteCount)
    )
  }

  private static func source(
    _ request: ModelRequest, _ shape: ModelShape?
  ) throws -> ModelSource {
    let spec = request.load.quantization?.fourBitSpec
    return try shape.map { .random($0.rawValue, $0.config, quantization: spec) }
      ?? ModelSource.open(request.path)
  }

  /// - Parameter shape: measures random weights of this shape instead of the request's file.
  package static func measureLoading(
    _ request: ModelRequest, shape: ModelShape? = nil
  ) throws -> LoadMeasurement {
    try measuredLoad(request, shape).measurement
  }

  /// Runs the trainer's own steps on one step's tokens, in a run directory that is removed
  /// afterwards. The learning rate is 0: the optimizer does all its work and every step has the
  /// same loss and gradient, so that each timed step can be held against a reference.
  ///
  /// - Parameters:
  ///   - whenWarm: called before the first step that counts.
  ///   - whenDone: called after the last one, before anything is saved.
  package static func measureSteps(
    _ request: ModelRequest, _ workload: StepWorkload, shape: ModelShape? = nil,
    whenWarm: @escaping () -> Void = {}, whenDone: @escaping () -> Void = {}
  ) throws -> StepMeasurement {
    var request = request
    let (memory, policies, layout) = try forecast(&request, workload, shape)
    let (model, load) = try measuredLoad(request, shape, layout)
    if let adapter = workload.adapter {
      try model.addAdapters(try AdapterFolder.open(adapter).adapter)
    } else {
      try model.addAdapters(workload.adapterOptions)
    }
    model.activationPolicies = policies
    let batches = try workload.batches(vocabularySize: model.config.vocabularySize)
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "qlora-bench-" + UUID().uuidString
    ).path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let inputs = TrainingInputs(
      model: model, backend: model.backend,
      batches: RepeatedStep(batches: batches, stepCount: workload.warmup + workload.steps),
      artifacts: CheckpointArtifacts(
        codec: SafetensorsCodec(), adapterConfiguration: [], identity: [], provenance: []))
    let schedule = LearningRateSchedule(
      shape: .constant, peak: 0, warmupSteps: 0, stepCount: inputs.batches.stepCount)
    var steps: [StepMetrics] = []
    let options = TrainingOptions(optimizer: workload.optimizer, schedule: schedule)
    let trainer = try Trainer(
      inputs, options: options, run: try RunDirectory(starting: folder)
    ) { event in
      guard case .step(let metrics) = event else { return }
      steps.append(metrics)
      if steps.count == workload.warmup { whenWarm() }
      if steps.count == workload.warmup + workload.steps { whenDone() }
    }
    if workload.warmup == 0 { whenWarm() }
    _ = try trainer.train()
    let takenBytes = (model.backend as? CUDABackend)?.takenBytes
    // Where weights wait outside, the product's would, too.
    let hasPeak = request.deviceWeightBytes == nil
    return StepMeasurement(
      load: load, memory: memory, deviceMemoryBytes: takenBytes,
      peak: hasPeak ? try MeasuredPeak(model, tokens: batches.map(\.tokens.count).max() ?? 0) : nil,
      placement: layout.placement,
      reading: (model.blockStore as? StreamedBlocks)?.statistics ?? ReadStatistics(),
      allStepSeconds: steps.reduce(0) { $0 + Double($1.tokens) / $1.tokensPerSecond },
      steps: Array(steps.dropFirst(workload.warmup)),
      cost: StepCost(
        model.config, batches,
        adapterParameters: model.parameters.reduce(0) { $0 + $1.value.count }))
  }

  /// What the steps will take, in this process as it is now, or of a GPU; the request gets what the
  /// backend should know of it.
  private static func forecast(
    _ request: inout ModelRequest, _ workload: StepWorkload, _ shape: ModelShape?
  ) throws -> (MemoryForecast, [ActivationPolicy], WeightLayout) {
    let machine = MachineMemory()
    let isOnGPU = request.device.isGPU
    let processBytes = isOnGPU ? 0 : machine.residentBytes ?? 0
    let budget = MemoryBudget(maxMemory: request.maxMemory, by: "--max-memory", on: machine)
    let rehearsal = try Rehearsal(try source(request, shape), request) { model, tensor in
      if let adapter = workload.adapter {
        try model.addAdapters(try AdapterFolder.open(adapter).adapter)
      } else {
        try model.addHollowAdapters(workload.adapterOptions, tensor: tensor)
      }
    }
    let batches = try workload.batches(vocabularySize: rehearsal.model.config.vocabularySize)
    guard let largest = batches.max(by: { $0.tokens.count < $1.tokens.count }) else {
      throw Diagnostic(.nothingToTrain, "the step has no micro-batch")
    }
    let policies = try rehearsal.policies(workload.activationMemory, largest)
    var memory = MemoryForecast(
      rehearsal, optimizer: workload.optimizer, step: rehearsal.step(largest, policies),
      processBytes: processBytes)
    request.poolBytes = memory.poolBytes
    guard isOnGPU else { return (memory, policies, try rehearsal.layout(&memory, budget)) }
    memory = memory.onDevice
    if let most = request.maxMemory, memory.peakBytes > most {
      guard memory.placeWeights(in: most, host: machine.availableBytes) != nil else {
        throw Diagnostic(
          .memoryBudgetTooSmall,
          "--max-memory allows \(ByteCount.spell(most)) of the GPU, and without weights the step "
            + "takes more: \(memory.words)", remedy: "allow more, or take --checkpointing")
      }
      request.deviceWeightBytes = memory.weightBytes
    }
    return (memory, policies, rehearsal.layoutOnGPU())
  }

  /// Tokens per second of each of `rounds` rounds of `count` greedy tokens after `prompt` random
  /// ones, whose own time is not counted, and whether the device had recorded the step by the end.
  ///
  /// - Parameter whenWarm: called after the prompt of the last round.
  package static func measureDecoding(
    _ request: ModelRequest, prompt: Int, count: Int, rounds: Int, recordsSteps: Bool = true,
    shape: ModelShape? = nil, whenWarm: () -> Void = {}
  ) throws -> (load: LoadMeasurement, tokensPerSecond: [Double], isRecorded: Bool) {
    let (model, load) = try measuredLoad(request, shape)
    let tokens = TokenBatch.random(
      sequences: 1, length: prompt, vocabularySize: model.config.vocabularySize
    ).tokens
    let clock = ContinuousClock()
    var isRecorded = false
    let rates = (0..<rounds).map { round in
      let cache = model.makeCache(recordsSteps: recordsSteps)
      defer { isRecorded = cache.hasRecordedStep }
      var next = model.likeliestToken(after: tokens, cache)
      if round == rounds - 1 { whenWarm() }
      let start = clock.now
      for _ in 0..<count { next = model.likeliestToken(after: [next], cache) }
      return Double(count) / clock.now.seconds(since: start)
    }
    return (load, rates, isRecorded)
  }
}
