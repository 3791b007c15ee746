// A real run that is stopped anywhere and resumed ends with the same bits as one that is not.
import Foundation
import QLoRADiagnostics
import QLoRAPipeline
import QLoRATraining
import TestSupport
import Testing

@Suite struct ResumeTests {
  /// Every poll is a place to stop: before steps, before each of their micro-batches, and between
  /// those of evaluations; 13 rows and 21 micro-batches put some of them inside an epoch's end.
  @Test(arguments: [
    [], ["data.packing=true", "training.batchSize=2"],
    ["training.activationMemory=full", "model.computeDType=bfloat16", "training.saveEvery=0"],
    ["training.gradientAccumulation=1", "training.evalEvery=1", "training.keep=1"],
  ])
  func stoppingAnywhere(settings: [String]) throws {
    let tiny = try TinyRun()
    try tiny.train("whole", settings)
    let expected = try tiny.result("whole")
    for polls in 0... {
      let output = "cut-\(polls)"
      let stop = StopAfter(polls: polls)
      let outcome = try tiny.train(output, settings, interruption: stop.poll)
      guard stop.hasFired else {
        #expect(polls > 7)
        break
      }
      // Past the last step a stop only leaves out the answers that the report shows.
      #expect(outcome.interrupted == (outcome.adapterPath == nil))
      #expect(outcome.interrupted || outcome.step == 7)
      let end = try tiny.resume(output)
      #expect(!end.interrupted && end.step == 7)
      #expect(try tiny.result(output) == expected, "after \(polls) polls")
    }
  }

  /// Every stretch has room for two blocks to load, an evaluation of four batches and a step of
  /// three, or it would repeat the same evaluation for ever.
  @Test func stoppingAgainAndAgain() throws {
    let tiny = try TinyRun()
    try tiny.train("whole")
    var outcome = try tiny.train("cut", interruption: StopAfter(polls: 11).poll)
    var stops = 0
    while outcome.interrupted, stops < 20 {
      stops += 1
      outcome = try tiny.resume("cut", interruption: StopAfter(polls: 11).poll)
    }
    #expect(!outcome.interrupted && stops > 2)
    #expect(try tiny.result("cut") == tiny.result("whole"))
  }

  /// A stop while the model loads leaves no checkpoint behind, and nothing in the way.
  @Test func stoppingWhileLoading() throws {
    let tiny = try TinyRun()
    try tiny.train("whole")
    var path: String? = "none was said"
    let outcome = try tiny.train("cut", interruption: { 15 }) {
      if case .training(.interrupted(0, 15, let said)) = $0 { path = said }
    }
    #expect(outcome.interrupted && outcome.step == 0 && path == nil)
    #expect(try CheckpointStore(tiny.folder.path("cut/checkpoints")).steps() == [])
    #expect(try tiny.resume("cut", interruption: { 15 }).interrupted)
    try tiny.resume("cut")
    #expect(try tiny.result("cut") == tiny.result("whole"))
  }

  /// Matrices of 4,096 elements and more beside smaller ones, through the files of a real run.
  @Test(arguments: [
    ["type=adamw8bit"], ["type=lion", "beta2=0.99"], ["type=lion8bit"], ["type=sgd"],
    ["type=sgd", "momentum=0.9"], ["type=pagedadamw8bit"], ["type=pagedlion"],
  ])
  func everyOptimizerResumes(settings: [String]) throws {
    let tiny = try TinyRun()
    let settings = settings.map { "training.optimizer." + $0 } + ["adapter.rank=64"]
    try tiny.train("whole", settings)
    let expected = try tiny.result("whole")
    let is8Bit = settings[0].hasSuffix("8bit")
    #expect(String(decoding: expected.optimizer, as: UTF8.self).contains("\"U8\"") == is8Bit)
    for polls in [4, 13, 20] {
      let output = "cut-\(polls)"
      let threads = settings + ["threads=\(polls % 3 + 1)"]
      let stop = StopAfter(polls: polls)
      #expect(try tiny.train(output, threads, interruption: stop.poll).interrupted)
      try tiny.resume(output)
      #expect(try tiny.result(output) == expected, "after \(polls) polls")
    }
  }

  @Test func epochsEndWithASmallerStep() throws {
    let tiny = try TinyRun()
    let recipe = TinyRun.recipe.replacing("\"steps\": 7", with: "\"epochs\": 2")
    try tiny.write("recipe.json", recipe)
    let whole = try tiny.train("whole")
    #expect(whole.step == 9)
    _ = try tiny.train("cut", interruption: StopAfter(polls: 18).poll)
    try tiny.resume("cut")
    #expect(try tiny.result("cut") == tiny.result("whole"))
  }

  @Test(arguments: [2, 4])
  func threadsDoNotMatter(threads: Int) throws {
    let tiny = try TinyRun()
    try tiny.train("one")
    _ = try tiny.train(
      "many", ["threads=\(threads)"], interruption: StopAfter(polls: 9).poll)
    try tiny.resume("many")
    #expect(try tiny.result("many") == tiny.result("one"))
  }

  @Test func aFinishedRunGetsItsAdapterAgain() throws {
    let tiny = try TinyRun()
    try tiny.train("run")
    let expected = try tiny.result("run")
    let adapter = tiny.folder.path("run/adapter")
    try FileManager.default.removeItem(atPath: adapter)
    #expect(try tiny.resume("run").adapterPath == adapter)
    #expect(try tiny.result("run") == expected)

    try FileManager.default.removeItem(atPath: adapter + "/adapter_model.safetensors")
    try tiny.resume("run")
    #expect(try tiny.result("run") == expected)

    try Data("cut".utf8).write(to: URL(filePath: adapter + "/adapter_model.safetensors"))
    try tiny.resume("run")
    #expect(try tiny.result("run") == expected)
  }

  @Test func anEditedCardStays() throws {
    let tiny = try TinyRun()
    try tiny.train("run")
    try tiny.write("run/adapter/README.md", "mine\n")
    try tiny.resume("run")
    #expect(try tiny.bytes("run/adapter/README.md") == Array("mine\n".utf8))
  }

  /// Ten bits at a time, anywhere in the newest checkpoint's files.
  @Test func flippedBitsAreFoundAndPassedOver() throws {
    let tiny = try TinyRun()
    try tiny.train("whole", ["training.saveEvery=3", "training.keep=9"])
    let expected = try tiny.result("whole")
    let store = CheckpointStore(tiny.folder.path("whole/checkpoints"))
    #expect(try store.steps() == [7, 6, 3])
    var generator = SeededGenerator(seed: 10)
    for trial in 0..<8 {
      let output = "flipped-\(trial)"
      try FileManager.default.copyItem(
        atPath: tiny.folder.path("whole"), toPath: tiny.folder.path(output))
      let newest = tiny.folder.path("\(output)/checkpoints/step-00000007")
      try BitFlips.flip(10, below: newest, using: &generator)
      try FileManager.default.removeItem(atPath: tiny.folder.path("\(output)/adapter"))
      var warnings: [Diagnostic] = []
      let end = try tiny.resume(
        output,
        events: {
          if case .training(.warning(let diagnostic)) = $0 { warnings.append(diagnostic) }
        })
      #expect(end.step == 7)
      #expect(warnings.map(\.code.number) == ["E0707"])
      #expect(warnings.first?.description.contains("step-00000007") == true)
      #expect(try tiny.result(output) == expected)
    }
  }

  /// One bit at a time; QLORA_SOAK=1 asks for ten thousand.
  @Test func everyFlippedBitIsFound() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.keep=9"])
    let store = CheckpointStore(tiny.folder.path("run/checkpoints"))
    let newest = store.path(step: 7)
    var generator = SeededGenerator(seed: 1)
    for _ in 0..<(ResumeMatrixTests.isWhole ? 10_000 : 300) {
      let flipped = try BitFlips.flip(1, below: newest, using: &generator)
      var found: [String] = []
      let intact = try store.newestIntact { found.append($0.code.number) }
      #expect(intact?.step == 6 && found == ["E0707"], "\(flipped)")
      try BitFlips.undo(flipped)
    }
    #expect(try store.newestIntact()?.step == 7)
  }

  @Test func aDamagedCheckpointIsPassedOver() throws {
    let tiny = try TinyRun()
    try tiny.train("whole")
    _ = try tiny.train("cut", interruption: StopAfter(polls: 21).poll)
    let newest = CheckpointStore(tiny.folder.path("cut/checkpoints"))
    let path = try #require(try newest.newestIntact()).path
    try Data("{}".utf8).write(to: URL(filePath: path + "/state.json"))
    var warnings: [Diagnostic] = []
    try tiny.resume(
      "cut",
      events: {
        if case .training(.warning(let diagnostic)) = $0 { warnings.append(diagnostic) }
      })
    #expect(warnings.map(\.code.number) == ["E0707"])
    #expect(try tiny.result("cut") == tiny.result("whole"))
  }
}
