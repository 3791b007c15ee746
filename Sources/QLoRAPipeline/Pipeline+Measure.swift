// What benchmarks time: real models, real steps, random tokens. Nothing here is for results.

import QLoRACPU
import QLoRAFormats
import QLoRAModels
import QLoRARandom
import QLoRASystem
import QLoRATensor
import QLoRATraining

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A training step to time: packed sequences of equal length, every token labelled.
package struct StepWorkload: Sendable {
  package var sequences: Int
  package var length: Int
  package var rank: Int
  package var recomputesBlocks: Bool
  package var steps: Int

  package init(sequences: Int, length: Int, rank: Int, recomputesBlocks: Bool, steps: Int) {
    self.sequences = sequences
    self.length = length
    self.rank = rank
    self.recomputesBlocks = recomputesBlocks
    self.steps = steps
  }

  /// The same random tokens in every step, so that losses can be compared.
  func batch(vocabularySize: Int) -> TokenBatch {
    var random = SplitMix64(seed: 0)
    let tokens = (0..<sequences * length).map { _ in
      Int32(random.next() % UInt64(vocabularySize))
    }
    // The last token of a sequence has no next one.
    let rows = tokens.indices.filter { $0 % length != length - 1 }
    return TokenBatch(
      tokens: tokens, positions: tokens.indices.map { Int32($0 % length) },
      bounds: (0...sequences).map { $0 * length }, rows: rows.map { Int32($0) },
      targets: rows.map { tokens[$0 + 1] })
  }
}

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

private struct RepeatedBatch: BatchSource {
  let batch: TokenBatch
  let stepCount: Int

  func microBatches(step: Int) throws -> [TokenBatch] { [batch] }
}

extension Pipeline {
  /// Weights only: tokenizers take time and memory that say nothing about them.
  private static func measuredLoad(
    _ request: ModelRequest
  ) throws -> (model: LlamaModel, measurement: LoadMeasurement) {
    let backend = try Backends.make(threads: request.threads, usesInt16: request.usesInt16)
    let clock = ContinuousClock()
    let start = clock.now
    let source = try ModelSource.open(request.path)
    let model = try ModelLoader(source, backend: backend, options: request.load).load()
    let parameters = model.linears.reduce(0) { $0 + $1.weight.outFeatures * $1.weight.inFeatures }
    return (
      model,
      LoadMeasurement(
        device: "\(backend.name), \(backend.threadPool.threads) threads",
        seconds: clock.now.seconds(since: start), linearParameters: parameters,
        weightBytes: model.weightBytes, peakMemoryBytes: ProcessMemory.peakByteCount)
    )
  }

  package static func measureLoading(_ request: ModelRequest) throws -> LoadMeasurement {
    try measuredLoad(request).measurement
  }

  /// Trains a fresh adapter on all linears for a few steps with the trainer itself, in a run
  /// directory that is removed afterwards.
  package static func measureSteps(
    _ request: ModelRequest, _ workload: StepWorkload
  ) throws -> (load: LoadMeasurement, steps: [StepMetrics]) {
    let (model, load) = try measuredLoad(request)
    try model.addAdapters(
      AdapterOptions(rank: workload.rank, alpha: 2 * Double(workload.rank)))
    model.recomputesBlocks = workload.recomputesBlocks
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "qlora-bench-" + UUID().uuidString
    ).path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let inputs = TrainingInputs(
      model: model, backend: model.backend,
      batches: RepeatedBatch(
        batch: workload.batch(vocabularySize: model.config.vocabularySize),
        stepCount: workload.steps),
      artifacts: CheckpointArtifacts(
        codec: SafetensorsCodec(), adapterConfiguration: [], identity: [], provenance: []))
    let schedule = LearningRateSchedule(
      shape: .constant, peak: 1e-3, warmupSteps: 0, stepCount: workload.steps)
    var steps: [StepMetrics] = []
    let trainer = Trainer(
      inputs, options: TrainingOptions(schedule: schedule), run: try RunDirectory(starting: folder)
    ) { event in
      if case .step(let metrics) = event { steps.append(metrics) }
    }
    _ = try trainer.train()
    return (load, steps)
  }

  /// Tokens per second of each of `rounds` rounds of `count` greedy tokens after `prompt` random
  /// ones, whose own time is not counted.
  package static func measureDecoding(
    _ request: ModelRequest, prompt: Int, count: Int, rounds: Int
  ) throws -> (load: LoadMeasurement, tokensPerSecond: [Double]) {
    let (model, load) = try measuredLoad(request)
    let workload = StepWorkload(
      sequences: 1, length: prompt, rank: 0, recomputesBlocks: false, steps: 0)
    let tokens = workload.batch(vocabularySize: model.config.vocabularySize).tokens
    let clock = ContinuousClock()
    let rates = (0..<rounds).map { _ in
      let cache = model.makeCache()
      var next = Sampler.greedy(model.nextLogits(after: tokens, cache))
      let start = clock.now
      for _ in 0..<count { next = Sampler.greedy(model.nextLogits(after: [next], cache)) }
      return Double(count) / clock.now.seconds(since: start)
    }
    return (load, rates)
  }
}
