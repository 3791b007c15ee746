// A run that is cut and resumed ends with the same bits as one that is not, wherever the cut is.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import QLoRATraining
import TestSupport
import Testing

@Suite struct ResumeTests {
  static let variants: [ToyRun] = [
    ToyRun(), ToyRun(accumulation: 1, shape: .linear, saveEvery: 0),
    ToyRun(shape: .constant, evalEvery: 0, saveEvery: 1, keep: 1),
    ToyRun(stepCount: 5, accumulation: 4, evalEvery: 1, saveEvery: 3, weightDecay: 0),
    ToyRun(stepCount: 7, evalEvery: 2, saveEvery: 2, keep: 3, maximumGradientNorm: 0.01),
  ] + optimizers.map { ToyRun(optimizer: $0, width: 4096 + 300) }

  /// Each with and without states in 8 bits, or a state at all.
  static let optimizers: [OptimizerOptions] = [
    .adamW(AdamWOptions(weightDecay: 0.1)),
    .adamW(AdamWOptions(weightDecay: 0.1, isBlockwise: true)),
    .lion(LionOptions(weightDecay: 0.1)), .lion(LionOptions(isBlockwise: true)),
    .sgd(SGDOptions(weightDecay: 0.1)), .sgd(SGDOptions(momentum: 0.9)),
  ] + paged

  /// Of the first four the same with states on the disk.
  static let paged: [OptimizerOptions] = [
    .adamW(AdamWOptions(weightDecay: 0.1, isPaged: true)),
    .adamW(AdamWOptions(weightDecay: 0.1, isBlockwise: true, isPaged: true)),
    .lion(LionOptions(weightDecay: 0.1, isPaged: true)),
    .lion(LionOptions(isBlockwise: true, isPaged: true)),
  ]

  private func uninterrupted(_ run: ToyRun) throws -> ToyResult {
    let folder = try TemporaryFolder()
    _ = try run.train(folder.path("run"))
    return try ToyResult(folder.path("run"))
  }

  /// Every poll of the flag is a place to stop: before each step and micro-batch, and within
  /// evaluations.
  @Test(arguments: 0..<15)
  func stoppingAnywhereOnce(variant: Int) throws {
    let run = Self.variants[variant]
    let expected = try uninterrupted(run)
    for polls in 0... {
      let folder = try TemporaryFolder()
      let path = folder.path("run")
      let stop = StopAfter(polls: polls)
      let outcome = try run.train(path, interruption: stop.poll)
      guard stop.hasFired else {
        #expect(polls > run.stepCount * run.accumulation)
        break
      }
      guard case .interrupted(let step, 15, let checkpoint) = outcome else {
        Issue.record("\(outcome) after \(polls) polls")
        continue
      }
      try CheckpointManifest.verify(try #require(checkpoint))
      #expect(checkpoint == CheckpointStore(path + "/checkpoints").path(step: step))
      #expect(try run.train(path) == .finished(step: run.stepCount))
      #expect(try ToyResult(path) == expected, "after \(polls) polls")
    }
  }

  @Test(arguments: 0..<15)
  func stoppingAgainAndAgain(variant: Int) throws {
    let run = Self.variants[variant]
    let expected = try uninterrupted(run)
    for polls in [4, 5, 6, 11] {
      let folder = try TemporaryFolder()
      let path = folder.path("run")
      var count = 0
      while case .interrupted = try run.train(
        path, interruption: StopAfter(polls: polls + run.accumulation).poll)
      {
        count += 1
        guard count < 100 else {
          Issue.record("no progress with \(polls) polls")
          break
        }
      }
      #expect(count > 0)
      #expect(try ToyResult(path) == expected, "every \(polls) polls")
    }
  }

  /// The names and types of each optimizer's state, and that threads do not matter to it.
  @Test(arguments: zip(optimizers, [
    "exp_avg float32, exp_avg_sq float32",
    "state1 uint8, absmax1 float32, state2 uint8, absmax2 float32",
    "state1 float32", "state1 uint8, absmax1 float32", "", "momentum_buffer float32",
  ]))
  func statesAndThreads(optimizer: OptimizerOptions, expected: String) throws {
    let folder = try TemporaryFolder()
    var run = ToyRun(optimizer: optimizer, width: 40_000)
    _ = try run.train(folder.path("one"))
    run.threads = 3
    _ = try run.train(folder.path("three"))
    let result = try ToyResult(folder.path("one"))
    #expect(try ToyResult(folder.path("three")) == result)
    let state = try ToyCodec().decode(result.optimizer, file: "")
      .filter { $0.name.hasPrefix("toy.lora_B.weight.") }
    let found = state.map {
      "\($0.name.dropFirst("toy.lora_B.weight.".count)) \($0.tensor.dtype)"
    }
    #expect(found.joined(separator: ", ") == expected)
    #expect(
      state.map(\.tensor.byteCount) == optimizer.stateByteCounts(of: 40_000))
  }

  /// Bit for bit, and nothing of the pages is left.
  @Test(arguments: zip(optimizers, paged))
  func pagingChangesNoBit(plain: OptimizerOptions, paged: OptimizerOptions) throws {
    let folder = try TemporaryFolder()
    _ = try ToyRun(optimizer: plain, width: 40_000).train(folder.path("plain"))
    _ = try ToyRun(optimizer: paged, width: 40_000).train(folder.path("paged"))
    #expect(try ToyResult(folder.path("paged")) == ToyResult(folder.path("plain")))
    let files = PosixFileSystem()
    #expect(try files.list(folder.path("paged")) == files.list(folder.path("plain")))
    #expect(paged.diskBytes(of: [40_000, 7]) >= plain.memoryBytes(of: [40_000, 7]))
    #expect(paged.memoryBytes(of: [1000, 1000, 1000]) == plain.memoryBytes(of: [1000, 1000]))
  }

  @Test func pagesNeedAFolder() throws {
    let error = #expect(throws: Diagnostic.self) {
      try Self.paged[0].makeOptimizer(
        ToyModel(width: 16).parameters, backend: ToyBackend(), pagesIn: "nowhere/at-all")
    }
    #expect(error?.code == .pathMissing)
  }

  @Test func aSignalBeforeTheFirstStepLeavesAResumableRun() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    let outcome = try ToyRun().train(path, interruption: { 15 })
    #expect(outcome == .interrupted(step: 0, signal: 15, path: path + "/checkpoints/step-00000000"))
    _ = try ToyRun().train(path)
    #expect(try ToyResult(path) == uninterrupted(ToyRun()))
  }

  @Test(arguments: [("toy", 0), ("other", 1)])
  func otherKernelsAreNamed(device: String, expected: Int) throws {
    let folder = try TemporaryFolder()
    _ = try ToyRun().train(folder.path("run"))
    var warnings: [Diagnostic] = []
    _ = try ToyRun(device: device).train(folder.path("run")) { event in
      if case .warning(let warning) = event { warnings.append(warning) }
    }
    #expect(warnings.count == expected)
    #expect(warnings.allSatisfy { $0.code == .deviceChanged && $0.description.contains(device) })
  }

  @Test func damageFallsBackByName() throws {
    let expected = try uninterrupted(ToyRun())
    let names = [
      "adapter_model.safetensors", "optimizer.safetensors", "state.json", "MANIFEST.json",
    ]
    for name in names {
      let folder = try TemporaryFolder()
      let path = folder.path("run")
      _ = try ToyRun().train(path)
      let damaged = path + "/checkpoints/step-00000006/" + name
      var bytes = try PosixFileSystem().readAll(damaged)
      bytes[bytes.count / 2] ^= 0x10
      try Data(bytes).write(to: URL(filePath: damaged))
      var warnings: [Diagnostic] = []
      var origin: String?
      _ = try ToyRun().train(path) { event in
        if case .warning(let warning) = event { warnings.append(warning) }
        if case .started(4, 6, let from) = event { origin = from }
      }
      #expect(warnings.count == 1)
      #expect(warnings.first?.description.contains("step-00000006/" + name) == true)
      #expect(origin?.hasSuffix("step-00000004") == true)
      #expect(try ToyResult(path) == expected, "\(name)")
      #expect(try CheckpointStore(path + "/checkpoints").steps() == [6, 4])
    }
  }

  @Test func whereAllIsDamagedItStartsOver() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    _ = try ToyRun().train(path)
    let store = CheckpointStore(path + "/checkpoints")
    for step in try store.steps() {
      try Data().write(to: URL(filePath: store.path(step: step) + "/state.json"))
    }
    var warnings = 0
    _ = try ToyRun().train(path) { event in
      if case .warning = event { warnings += 1 }
    }
    #expect(warnings == 2)
    #expect(try ToyResult(path) == uninterrupted(ToyRun()))
  }

  /// A run that died without a checkpoint leaves a log and maybe rubbish; a new start ignores both.
  @Test func aKilledFirstStartLeavesNothingToCleanUp() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    let rubbish = ".tmp-step-00000002-4194400-0123456789abcdef"
    try PosixFileSystem().makeDirectories(path + "/checkpoints/" + rubbish)
    try Data("{\"step\": 1}\n{\"st".utf8).write(to: URL(filePath: path + "/metrics.jsonl"))
    _ = try ToyRun().train(path)
    #expect(try ToyResult(path) == uninterrupted(ToyRun()))
    #expect(
      try PosixFileSystem().list(path + "/checkpoints") == ["step-00000004", "step-00000006"])
  }
}
