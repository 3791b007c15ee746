// What `qlora-bench step` measures: its tokens, its arithmetic, and that every step is the same.
import Foundation
import QLoRAData
import QLoRADiagnostics
import QLoRAModels
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct StepMeasurementTests {
  /// Two micro-batches: of two sequences, the first with two rows, and of one.
  private static let preview = [
    #""microBatch":0,"tokens":[5,6,7,8,9],"labels":[-100,6,-100,-100,9],"starts":[0,3]"#,
    #""microBatch":0,"tokens":[10,11],"labels":[-100,11],"starts":[0]"#,
    #""microBatch":1,"tokens":[12,13,14],"labels":[-100,-100,14],"starts":[0]"#,
  ].map { "{\"step\":1,\($0)}\n" }.joined()

  private func file(_ text: String, in folder: TemporaryFolder) throws -> String {
    try Data(text.utf8).write(to: folder.url.appending(path: "batches.jsonl"))
    return folder.path("batches.jsonl")
  }

  private func workload(_ path: String, steps: Int = 2) -> StepWorkload {
    StepWorkload(
      sequences: 1, length: 2, batchFile: path, rank: 2, activationMemory: .everything, warmup: 1,
      steps: steps)
  }

  @Test func previewedLinesAreTheBatchesThatWerePreviewed() throws {
    let folder = try TemporaryFolder()
    let batches = try workload(try file(Self.preview, in: folder)).batches(vocabularySize: 15)
    #expect(
      batches == [
        TokenBatch(
          tokens: [5, 6, 7, 8, 9, 10, 11], positions: [0, 1, 2, 0, 1, 0, 1], bounds: [0, 3, 5, 7],
          rows: [0, 3, 5], targets: [6, 9, 11]),
        TokenBatch(
          tokens: [12, 13, 14], positions: [0, 1, 2], bounds: [0, 3], rows: [1], targets: [14]),
      ])
  }

  @Test(arguments: [
    #"{"tokens":[1,2],"labels":[-100,2]}"#,
    #"{"tokens":[1,99],"labels":[-100,2],"starts":[0]}"#,
    #"{"tokens":[1,-100],"labels":[-100,2],"starts":[0]}"#,
    #"{"tokens":[1,2],"labels":[2],"starts":[0]}"#,
    #"{"tokens":[1,2],"labels":[-100,2],"starts":[1]}"#,
    #"{"tokens":[1,2,3],"labels":[-100,2,3],"starts":[0,2,1]}"#,
  ])
  func linesThatFitNoModelAreRefused(_ line: String) throws {
    let folder = try TemporaryFolder()
    let path = try file(line, in: folder)
    let error = try #require(throws: Diagnostic.self) {
      try workload(path).batches(vocabularySize: 15)
    }
    #expect(error.code == .rowShape)
    #expect(error.location == .row(file: path, row: 1))
  }

  @Test func labelsMustBeSomewhere() throws {
    let folder = try TemporaryFolder()
    let path = try file(#"{"tokens":[1,2],"labels":[-100,-100],"starts":[0]}"#, in: folder)
    let error = try #require(throws: Diagnostic.self) {
      try workload(path).batches(vocabularySize: 15)
    }
    #expect(error.code == .noRows)
  }

  @Test func everyStepHasTheSameLoss() throws {
    let tiny = try TinyRun()
    let path = try file(Self.preview, in: tiny.folder)
    let found = try Pipeline.measureSteps(
      ModelRequest(path: tiny.modelPath, threads: 1), workload(path, steps: 3))
    #expect(found.steps.map(\.step) == [2, 3, 4])
    #expect(Set(found.steps.map(\.loss)).count == 1)
    #expect(Set(found.steps.map(\.gradientNorm)).count == 1)
    #expect(found.steps.allSatisfy { $0.gradientNorm > 0 && $0.tokens == 10 })
    #expect(found.cost.labelled == 0.4)
  }

  /// 0.629 GFLOP per token: Docs/Benchmarks/scale.md's formula by hand for four times 512 tokens.
  @Test func arithmeticOfSmolLM2() throws {
    let batch = try StepWorkload(
      sequences: 4, length: 512, rank: 16, activationMemory: .everything, steps: 1
    ).batches(vocabularySize: 49152)
    let cost = StepCost(ModelShape.smolLM135M.config, batch, adapterParameters: 4_884_480)
    #expect(cost.linearWeights == 106_168_320)
    #expect(cost.headWeights == 49152 * 576)
    #expect(cost.attention == 2 * 512 * 576 * 30)
    let plain = cost.operationsPerToken(recomputing: false)
    #expect((plain / 1e6).rounded() == 629)
    let more = cost.operationsPerToken(recomputing: true) - plain
    #expect(more == Double(2 * 106_168_320 + 2 * 512 * 576 * 30 + 2 * 4_884_480))
  }
}
