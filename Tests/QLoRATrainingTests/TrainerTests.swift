// What a run writes and says, step by step.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor
import QLoRATraining
import TestSupport
import Testing

@Suite struct TrainerTests {
  @Test func writesOneLinePerStepAndEvaluation() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    #expect(try ToyRun().train(path) == .finished(step: 6))
    let lines = try PosixFileSystem().readAll(path + "/metrics.jsonl")
      .split(separator: UInt8(ascii: "\n")).map { try JSONValue(parsing: $0) }
    let steps = lines.filter { $0["evalLoss"] == nil }
    #expect(steps.compactMap { $0["step"]?.intValue } == [1, 2, 3, 4, 5, 6])
    #expect(
      steps[0].objectMembers?.map(\.key) == [
        "step", "loss", "learningRate", "gradientNorm", "tokens", "labelledTokens",
        "tokensPerSecond", "peakMemoryBytes", "elapsedSeconds",
      ])
    let evaluations = lines.filter { $0["evalLoss"] != nil }
    #expect(evaluations.compactMap { $0["step"]?.intValue } == [3, 6])
    #expect(steps[0]["learningRate"]?.doubleValue == 0)
    let losses = steps.compactMap { $0["loss"]?.doubleValue }
    #expect(losses.count == 6 && losses[5] < losses[0])
  }

  /// The mean over labelled tokens of the whole step, not the mean of micro-batch means.
  @Test func lossIsTheMeanOverLabelledTokens() throws {
    let folder = try TemporaryFolder()
    var first: StepMetrics?
    _ = try ToyRun().train(folder.path("run")) { event in
      if case .step(let metrics) = event, metrics.step == 1 { first = metrics }
    }
    let batches = ToyBatches().microBatches(step: 1)
    let model = ToyModel()
    var sum = 0.0
    for (index, batch) in batches.enumerated() {
      sum += try model.accumulateGradients(batch, dropoutStream: 1 << 24 | UInt64(index))
    }
    let labelled = batches.reduce(0) { $0 + $1.rows.count }
    #expect(first?.loss == sum / Double(labelled))
    #expect(first?.labelledTokens == labelled)
    #expect(first?.tokens == batches.reduce(0) { $0 + $1.tokens.count })
    let gradients = model.parameters.flatMap { $0.gradient.floats() }
    let squares = gradients.map { pow(Double($0) / Double(labelled), 2) }.reduce(0, +)
    let ratio = (first?.gradientNorm ?? 0) / squares.squareRoot()
    #expect(abs(ratio - 1) < 1e-6)
  }

  @Test func keepsTheNewestCheckpoints() throws {
    for (keep, expected) in [(1, [6]), (2, [6, 4]), (3, [6, 4, 2]), (0, [6])] {
      let folder = try TemporaryFolder()
      var run = ToyRun()
      run.keep = keep
      _ = try run.train(folder.path("run"))
      let store = CheckpointStore(folder.path("run/checkpoints"))
      #expect(try store.steps() == expected)
      #expect(try PosixFileSystem().list(store.directory).count == expected.count)
    }
  }

  /// Runs whose best evaluation is early, and runs where it is late. Stopped anywhere and resumed,
  /// the same checkpoints stay.
  @Test func keepsTheBestCheckpoint() throws {
    var early = 0
    for (keep, offset, decay) in [
      (1, 0, 0.1), (1, -100, 0.1), (1, 100, 0.1), (2, 0, 15), (2, -100, 15), (2, 100, 15),
    ] as [(Int, Float, Double)] {
      let folder = try TemporaryFolder()
      let run = ToyRun(
        stepCount: 10, evalEvery: 2, saveEvery: 2, keep: keep, weightDecay: decay)
      func model() -> ToyModel {
        ToyModel { model, _ in model.gradientOffset = model.step > 4 ? offset : 0 }
      }
      _ = try run.train(folder.path("whole"), model: model())
      let whole = try ToyResult(folder.path("whole"))
      let evaluations = try whole.metrics.map { try JSONValue(parsing: Array($0.utf8)) }
        .compactMap { line in
          line["evalLoss"]?.doubleValue.flatMap { loss in
            line["step"]?.intValue.map { (step: $0, loss: loss) }
          }
        }
      let best = try #require(evaluations.min { $0.loss < $1.loss }).step
      early += best < 8 ? 1 : 0
      let expected = Set([10, 8].prefix(keep) + [best])
      #expect(try Set(CheckpointStore(folder.path("whole/checkpoints")).steps()) == expected)
      for polls in stride(from: 1, to: 42, by: 8) {
        let path = folder.path("stopped-\(polls)")
        let stop = StopAfter(polls: polls)
        _ = try run.train(path, model: model(), interruption: stop.poll)
        #expect(stop.hasFired)
        _ = try run.train(path, model: model())
        #expect(try Set(CheckpointStore(path + "/checkpoints").steps()) == expected, "\(polls)")
        #expect(try ToyResult(path) == whole)
      }
    }
    #expect(early > 0)
  }

  @Test func withoutAnIntervalSavesOnlyAtTheEnd() throws {
    let folder = try TemporaryFolder()
    var run = ToyRun()
    run.saveEvery = 0
    run.keep = 9
    _ = try run.train(folder.path("run"))
    #expect(try CheckpointStore(folder.path("run/checkpoints")).steps() == [6])
  }

  @Test func aCheckpointHasTheFilesOfTheContract() throws {
    let folder = try TemporaryFolder()
    _ = try ToyRun().train(folder.path("run"))
    let directory = folder.path("run/checkpoints/step-00000006")
    #expect(
      try PosixFileSystem().list(directory) == [
        "MANIFEST.json", "adapter_config.json", "adapter_model.safetensors",
        "optimizer.safetensors", "state.json",
      ])
    let facts = try CheckpointManifest.verify(directory).facts
    #expect(facts.map(\.key) == ["step", "recipe", "tool", "device"])
  }

  @Test func startingOverACheckpointIsRefused() throws {
    let folder = try TemporaryFolder()
    _ = try ToyRun().train(folder.path("run"))
    let error = #expect(throws: Diagnostic.self) {
      _ = try RunDirectory(starting: folder.path("run"))
    }
    #expect(error?.code == .runHasCheckpoint)
    #expect(error?.code.exitCode == .outputExists)
    #expect(error?.description.contains("qlora resume") == true)
  }

  @Test func aFinishedRunFinishesAgain() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    _ = try ToyRun().train(path)
    let before = try ToyResult(path)
    let model = ToyModel()
    #expect(try ToyRun().train(path, model: model) == .finished(step: 6))
    #expect(model.callCount == 0)
    #expect(try ToyResult(path) == before)
  }

  @Test func twoRunsInOneDirectory() throws {
    let folder = try TemporaryFolder()
    let first = try RunDirectory(starting: folder.path("run"))
    let error = #expect(throws: Diagnostic.self) {
      _ = try RunDirectory(starting: folder.path("run"))
    }
    #expect(error?.code == .outputLocked)
    withExtendedLifetime(first) {}
  }

  @Test func resumingNothingIsRefused() throws {
    let folder = try TemporaryFolder()
    let error = #expect(throws: Diagnostic.self) {
      _ = try RunDirectory(resuming: folder.path("none"))
    }
    #expect(error?.code.exitCode == .inputMissing)
  }

  @Test func aChangedRecipeIsRefused() throws {
    let folder = try TemporaryFolder()
    _ = try ToyRun().train(folder.path("run"))
    var changed = ToyRun()
    changed.identity = "two"
    let error = #expect(throws: Diagnostic.self) { try changed.train(folder.path("run")) }
    #expect(error?.code.exitCode == .resumeRefused)
    #expect(error?.message.contains("recipe changed") == true)
  }

  @Test func noStepsAreAnError() throws {
    let folder = try TemporaryFolder()
    var run = ToyRun()
    run.stepCount = 0
    let error = #expect(throws: Diagnostic.self) { try run.train(folder.path("run")) }
    #expect(error?.code == .nothingToTrain)
  }

  @Test func aStepWithoutLabelsHasLossZero() throws {
    let folder = try TemporaryFolder()
    var losses: [Double] = []
    var run = ToyRun()
    run.accumulation = 0
    _ = try run.train(folder.path("run")) { event in
      if case .step(let metrics) = event { losses.append(metrics.loss) }
    }
    #expect(losses == Array(repeating: 0, count: 6))
  }
}

@Suite struct DivergenceTests {
  /// Trains until something is not finite at micro-batch `call`.
  private func failure(
    at call: Int, _ spoil: @escaping (ToyModel) -> Void, in path: String
  ) throws -> Diagnostic? {
    let model = ToyModel { model, number in if number == call { spoil(model) } }
    return #expect(throws: Diagnostic.self) { try ToyRun().train(path, model: model) }
  }

  @Test(arguments: [Double.nan, .infinity, -.infinity])
  func aLossThatIsNotFinite(value: Double) throws {
    for call in 0..<18 {
      let folder = try TemporaryFolder()
      let error = try failure(at: call, { $0.lossOffset = value }, in: folder.path("run"))
      #expect(error?.code == .lossNotFinite)
      #expect(error?.code.exitCode == .diverged)
      let (step, microBatch) = (call / 3 + 1, call % 3 + 1)
      let place = "step \(step) is not finite in micro-batch \(microBatch) of 3"
      #expect(error?.message.contains(place) == true)
      try expectSoundCheckpoints(folder.path("run"))
    }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func aGradientThatIsNotFinite(value: Float) throws {
    for call in 0..<18 {
      let folder = try TemporaryFolder()
      let error = try failure(at: call, { $0.gradientOffset = value }, in: folder.path("run"))
      #expect(error?.code == .gradientNotFinite)
      #expect(error?.message.contains("toy.lora_B.weight") == true)
      try expectSoundCheckpoints(folder.path("run"))
    }
  }

  @Test func aParameterThatIsNotFiniteIsNeverSaved() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    var model: ToyModel?
    let toy = ToyModel()
    model = toy
    let error = #expect(throws: Diagnostic.self) {
      try ToyRun().train(path, model: toy) { event in
        if case .step(let metrics) = event, metrics.step == 4 {
          model?.a.value[flat: 31] = .infinity
        }
      }
    }
    #expect(error?.code == .parameterNotFinite)
    try expectSoundCheckpoints(path)
  }

  private func expectSoundCheckpoints(_ path: String) throws {
    let store = CheckpointStore(path + "/checkpoints")
    for step in try store.steps() {
      let path = store.path(step: step) + "/" + CheckpointFile.adapter
      let bytes = try PosixFileSystem().readAll(path)
      for named in try ToyCodec().decode(bytes, file: "") {
        #expect(named.tensor.floats().allSatisfy { $0.isFinite })
      }
    }
  }
}

@Suite struct ClippingTests {
  /// One step of the toy with each limit; AdamW's first moment shows the clipped gradient.
  @Test(arguments: [0.0, 0.01, 1e9])
  func followsTorch(maximum: Double) throws {
    let folder = try TemporaryFolder()
    var run = ToyRun(stepCount: 1)
    run.maximumGradientNorm = maximum
    var norm = 0.0
    _ = try run.train(folder.path("run")) { event in
      if case .step(let metrics) = event { norm = metrics.gradientNorm }
    }
    let directory = folder.path("run/checkpoints/step-00000001/")
    let bytes = try PosixFileSystem().readAll(directory + CheckpointFile.optimizer)
    let moments = try ToyCodec().decode(bytes, file: "").filter { $0.name.hasSuffix("exp_avg") }
    let values = moments.flatMap { $0.tensor.floats() }
    let clipped = values.map { pow(Double($0) * 10, 2) }.reduce(0, +).squareRoot()
    let factor = maximum == 0 ? 1 : min(1, maximum / (norm + 1e-6))
    #expect(abs(clipped / (norm * factor) - 1) < 1e-5)
  }
}
