// Steps that are not finite under each policy, and that a resumed run treats them as an
// uninterrupted one does.
import Foundation
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor
import QLoRATraining
import TestSupport
import Testing

@Suite struct NonFinitePolicyTests {
  /// A model whose loss or gradient is spoiled in the second micro-batch of some steps.
  private func model(_ steps: Set<Int>, gradient: Bool = false) -> ToyModel {
    ToyModel { model, _ in
      let isSpoiled = steps.contains(model.step)
      model.lossOffset = isSpoiled && !gradient ? .nan : 0
      model.gradientOffset = isSpoiled && gradient ? .infinity : 0
    }
  }

  /// Spoils the loss of step 5 where nothing has changed its way there.
  private func model(failingAt value: Float) -> ToyModel {
    ToyModel { model, _ in
      let fails = model.step == 5 && model.a.value[flat: 3] == value
      model.lossOffset = fails ? .nan : 0
    }
  }

  private func lines(_ path: String) throws -> [JSONValue] {
    try PosixFileSystem().readAll(path + "/metrics.jsonl").split(separator: UInt8(ascii: "\n"))
      .map { try JSONValue(parsing: $0) }
  }

  @Test(arguments: [false, true])
  func skippingLeavesUpdatesOut(gradient: Bool) throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    let run = ToyRun(onNonFinite: .skip(atMost: 2))
    var warnings: [String] = []
    let outcome = try run.train(path, model: model([2, 5], gradient: gradient)) { event in
      if case .warning(let diagnostic) = event { warnings.append(diagnostic.code.number) }
    }
    #expect(outcome == .finished(step: 6))
    #expect(warnings == Array(repeating: gradient ? "E0602" : "E0601", count: 2))
    let skipped = try lines(path).filter { $0["nonFinite"] != nil }
    #expect(skipped.map { $0["step"]?.intValue } == [2, 5])
    #expect(skipped.allSatisfy { $0["action"]?.stringValue == "skip" && $0["loss"] == nil })
    let state = try PosixFileSystem().readAll(path + "/checkpoints/step-00000006/state.json")
    #expect(try JSONValue(parsing: state)["skippedSteps"]?.intValue == 2)
  }

  @Test func skippingEndsAtItsLimit() throws {
    let folder = try TemporaryFolder()
    let run = ToyRun(onNonFinite: .skip(atMost: 1))
    let error = #expect(throws: Diagnostic.self) {
      try run.train(folder.path("run"), model: model([2, 5]))
    }
    #expect(error?.code == .lossNotFinite)
    #expect(error?.message.contains("step 5") == true)
  }

  /// Adam's bias correction counts updates, not steps, so a resumed run must know both.
  @Test func skippedStepsResumeWithTheSameBits() throws {
    let run = ToyRun(onNonFinite: .skip(atMost: 3))
    try expectSameBits(run) { model([1, 3, 4]) }
  }

  /// What the first element of A is when step 5 begins.
  private func valueAtStepFive() throws -> Float {
    let folder = try TemporaryFolder()
    var value: Float = 0
    let watching = ToyModel { model, _ in
      if model.step == 5 { value = model.a.value[flat: 3] }
    }
    _ = try ToyRun().train(folder.path("run"), model: watching)
    return value
  }

  /// Step 5 fails behind the checkpoint of step 4, so the run goes back to step 2.
  @Test func rollingBackHalvesTheRate() throws {
    let folder = try TemporaryFolder()
    let path = folder.path("run")
    let value = try valueAtStepFive()
    let run = ToyRun(onNonFinite: .rollback(atMost: 1))
    var rates: [Int: [Double]] = [:]
    let outcome = try run.train(path, model: model(failingAt: value)) { event in
      if case .step(let metrics) = event {
        rates[metrics.step, default: []].append(metrics.learningRate)
      }
    }
    #expect(outcome == .finished(step: 6))
    #expect(rates[2]?.count == 1)
    for step in [3, 4] { #expect(rates[step]?.last == rates[step].map { $0[0] / 2 }) }
    #expect(rates[5]?.count == 1)
    let actions = try lines(path).filter { $0["action"] != nil }
    #expect(actions.map { $0["step"]?.intValue } == [5])
    #expect(actions.first?["action"]?.stringValue == "rollback")
  }

  @Test func rollingBackEndsAtItsLimitAndWithoutACheckpoint() throws {
    for (policy, failing) in [(NonFinitePolicy.rollback(atMost: 2), 5), (.rollback(atMost: 9), 2)] {
      let folder = try TemporaryFolder()
      let error = #expect(throws: Diagnostic.self) {
        try ToyRun(onNonFinite: policy).train(folder.path("run"), model: model([failing]))
      }
      #expect(error?.code == .lossNotFinite)
    }
  }

  @Test(arguments: [1, 2])
  func rolledBackRunsResumeWithTheSameBits(keep: Int) throws {
    let value = try valueAtStepFive()
    let run = ToyRun(keep: keep, onNonFinite: .rollback(atMost: 3))
    try expectSameBits(run) { model(failingAt: value) }
  }

  /// Stops at every poll in turn; every stretch has a fresh model.
  private func expectSameBits(_ run: ToyRun, _ model: () -> ToyModel) throws {
    let folder = try TemporaryFolder()
    _ = try run.train(folder.path("whole"), model: model())
    let expected = try ToyResult(folder.path("whole"))
    for polls in 0... {
      let path = folder.path("cut-\(polls)")
      let stop = StopAfter(polls: polls)
      _ = try run.train(path, model: model(), interruption: stop.poll)
      guard stop.hasFired else { break }
      #expect(try run.train(path, model: model()) == .finished(step: 6))
      #expect(try ToyResult(path) == expected, "after \(polls) polls")
    }
  }

  /// A gradient whose square is too large for Adam's second moment, though it is finite itself.
  @Test func aMomentThatIsNotFinite() throws {
    let folder = try TemporaryFolder()
    var run = ToyRun()
    run.maximumGradientNorm = 0
    let huge = ToyModel { model, _ in model.gradientOffset = model.step == 3 ? 1e25 : 0 }
    let error = #expect(throws: Diagnostic.self) {
      try run.train(folder.path("run"), model: huge)
    }
    #expect(error?.code == .parameterNotFinite)
    #expect(error?.message.contains("toy.lora_B.weight.exp_avg_sq") == true)
    #expect(try CheckpointStore(folder.path("run/checkpoints")).newestIntact()?.step == 2)
  }

  /// Found by the save after step 4, which makes no checkpoint of it.
  @Test func aBrokenParameterIsRolledBack() throws {
    let folder = try TemporaryFolder()
    let model = ToyModel()
    var steps: [Int] = []
    let run = ToyRun(evalEvery: 0, onNonFinite: .rollback(atMost: 1))
    let outcome = try run.train(folder.path("run"), model: model) { event in
      guard case .step(let metrics) = event else { return }
      steps.append(metrics.step)
      if steps == [1, 2, 3, 4] { model.b.value[flat: 7] = .nan }
    }
    #expect(outcome == .finished(step: 6))
    #expect(steps == [1, 2, 3, 4, 3, 4, 5, 6])
    #expect(model.parameters.allSatisfy { $0.value.floats().allSatisfy(\.isFinite) })
  }

  /// The step's own update is at fault, so leaving out the next one would not mend it.
  @Test func aBrokenUpdateIsRolledBackAndNotSkipped() throws {
    let cases = [(NonFinitePolicy.skip(atMost: 9), false), (.rollback(atMost: 1), true)]
    for (policy, finishes) in cases {
      let folder = try TemporaryFolder()
      var hasFailed = false
      var run = ToyRun(onNonFinite: policy)
      run.maximumGradientNorm = 0
      let model = ToyModel { model, number in
        model.gradientOffset = model.step == 5 && !hasFailed ? 1e25 : 0
        hasFailed = hasFailed || number == 14
      }
      let outcome = try? run.train(folder.path("run"), model: model)
      #expect((outcome == .finished(step: 6)) == finishes)
    }
  }
}
