// Settings that must not change the result do not, and those that must change it do.
import Foundation
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATraining
import TestSupport
import Testing

@Suite struct EquivalenceTests {
  static let plain = ["adapter.dropout=0", "training.schedule.warmupSteps=0"]

  /// The lines of a run's log.
  private func log(_ tiny: TinyRun, _ output: String) throws -> [JSONValue] {
    try tiny.bytes("\(output)/metrics.jsonl").split(separator: UInt8(ascii: "\n"))
      .map { try JSONValue(parsing: $0) }
  }

  /// AdamW's first moments after one step: the clipped gradient times 1 − β₁.
  private func gradient(_ tiny: TinyRun, _ output: String) throws -> [Float] {
    let file = try SafetensorsFile(
      path: tiny.folder.path("\(output)/checkpoints/step-00000001/optimizer.safetensors"))
    return try file.entries.filter { $0.name.hasSuffix(".exp_avg") }
      .flatMap { try file.readTensor($0.name).floats() }
  }

  private func relativeError(_ found: [Float], _ expected: [Float]) -> Double {
    let square = { (values: [Double]) in values.reduce(0) { $0 + $1 * $1 }.squareRoot() }
    let differences = zip(found, expected).map { Double($0) - Double($1) }
    return square(differences) / square(expected.map(Double.init))
  }

  private func compare(_ a: [String], _ b: [String], tolerance: Double) throws {
    let tiny = try TinyRun()
    try tiny.train("a", Self.plain + a)
    try tiny.train("b", Self.plain + b)
    let (first, second) = (try log(tiny, "a")[0], try log(tiny, "b")[0])
    for key in ["tokens", "labelledTokens"] {
      #expect(first[key]?.intValue == second[key]?.intValue)
    }
    let losses = try [first, second].map { try #require($0["loss"]?.doubleValue) }
    #expect(abs(losses[0] - losses[1]) <= tolerance * losses[1])
    let gradients = try (gradient(tiny, "a"), gradient(tiny, "b"))
    #expect(gradients.0.count == gradients.1.count && gradients.0.contains { $0 != 0 })
    #expect(relativeError(gradients.0, gradients.1) <= tolerance)
  }

  /// Rows differ in their labelled tokens, so a mean of means would show.
  @Test func accumulationIsALargerBatch() throws {
    try compare(
      ["training.steps=1", "training.batchSize=1", "training.gradientAccumulation=8"],
      ["training.steps=1", "training.batchSize=8", "training.gradientAccumulation=1"],
      tolerance: 1e-5)
  }

  @Test func packedRowsLearnAsRowsAlone() throws {
    let batch = ["training.epochs=1", "training.batchSize=13", "training.gradientAccumulation=1"]
    try compare(
      batch + ["data.packing=true", "data.shuffle=false"],
      batch + ["data.packing=false", "data.shuffle=false"], tolerance: 1e-5)
  }

  /// Integers round less than a thousandth of a gradient away; where the CPU has none, the run is
  /// refused before it starts.
  @Test func int16TrainsAsFloat32() throws {
    let tiny = try TinyRun()
    do {
      try tiny.train("probe", ["training.steps=1", "model.computeDType=int16"])
    } catch {
      #expect("\(error)".contains("16-bit dot products"))
      return
    }
    let batch = ["training.steps=1", "training.batchSize=8", "data.packing=true"]
    try compare(batch + ["model.computeDType=int16"], batch, tolerance: 1e-3)
  }

  /// Half precision rounds each activation by 2⁻¹¹ at most; sums and gradients stay float32.
  @Test func float16TrainsAsFloat32() throws {
    let batch = ["training.steps=1", "training.batchSize=8", "data.packing=true"]
    try compare(batch + ["model.computeDType=float16"], batch, tolerance: 0x1p-9)
  }

  @Test func recomputationGivesTheSameBits() throws {
    let tiny = try TinyRun()
    try tiny.train("none")
    let least = try Pipeline.plan(tiny.recipe("full", ["training.activationMemory=full"])).memory
    let budget = least.step.activationBytes + 10_000
    for (output, memory) in [("full", "full"), ("budget", "\(budget)")] {
      try tiny.train(output, ["training.activationMemory=\(memory)"])
      #expect(try tiny.result(output) == tiny.result("none"))
    }
  }

  @Test func clippingCanBeSwitchedOff() throws {
    let tiny = try TinyRun()
    try tiny.train("off", ["training.maxGradientNorm=0"])
    try tiny.train("far", ["training.maxGradientNorm=1e9"])
    try tiny.train("near", ["training.maxGradientNorm=1e-3"])
    #expect(try tiny.result("off") == tiny.result("far"))
    #expect(try tiny.result("off").optimizer != tiny.result("near").optimizer)
  }

  @Test func trainingGoesOnFromAnAdapter() throws {
    let tiny = try TinyRun()
    try tiny.train("first", ["training.steps=3", "training.schedule.warmupSteps=0"])
    for path in ["first", "first/adapter"] {
      let output = path.replacing("/", with: "-") + "-again"
      try tiny.train(
        output,
        ["adapter.initializeFrom=\(tiny.folder.path(path))", "training.optimizer.learningRate=0"])
      #expect(try tiny.result(output).adapter == tiny.result("first").adapter)
    }
  }

  @Test func intervalsOfZeroMeanTheEnd() throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.evalEvery=0", "training.saveEvery=0"])
    let evaluations = try log(tiny, "run").filter { $0["evalLoss"] != nil }
    #expect(evaluations.map { $0["step"]?.intValue } == [7])
    #expect(try CheckpointStore(tiny.folder.path("run/checkpoints")).steps() == [7])
  }

  @Test(arguments: [1, 3])
  func keepsSoManyCheckpoints(keep: Int) throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.keep=\(keep)"])
    let steps = try CheckpointStore(tiny.folder.path("run/checkpoints")).steps()
    #expect(steps == Array([7, 6, 4].prefix(keep)))
  }

  @Test func withoutValidationNothingIsEvaluated() throws {
    let tiny = try TinyRun()
    let outcome = try tiny.train("run", ["data.validation=[]"])
    #expect(outcome.evalLoss == nil)
    #expect(try log(tiny, "run").count == 7)
  }

  @Test func skippedLinearsStayAsTheyAre() throws {
    let tiny = try TinyRun()
    try tiny.train("all", ["model.quantization.skip=[\".*\"]"])
    try tiny.train("none", ["model.quantization.type=none"])
    try tiny.train("one", ["model.quantization.skip=[\"q_proj\"]"])
    try tiny.train("nf4")
    #expect(try tiny.result("all").adapter == tiny.result("none").adapter)
    #expect(try tiny.result("one").adapter != tiny.result("none").adapter)
    #expect(try tiny.result("one").adapter != tiny.result("nf4").adapter)
  }

  @Test func logLinesHaveTheKeysOfTheContract() throws {
    let tiny = try TinyRun()
    try tiny.train("run")
    let lines = try log(tiny, "run")
    let keys = lines.map { $0.objectMembers?.map(\.key) ?? [] }
    #expect(
      keys[0] == [
        "step", "loss", "learningRate", "gradientNorm", "tokens", "labelledTokens",
        "tokensPerSecond", "peakMemoryBytes", "elapsedSeconds",
      ])
    let steps = lines.filter { $0["loss"] != nil }
    #expect(steps.map { $0["step"]?.intValue } == (1...7).map { $0 })
    let elapsed = steps.compactMap { $0["elapsedSeconds"]?.doubleValue }
    #expect(elapsed == elapsed.sorted() && elapsed[0] > 0)
    for line in steps { #expect(try #require(line["peakMemoryBytes"]?.intValue) > 1 << 20) }
    #expect(lines.filter { $0["evalLoss"] != nil }.map { $0["step"]?.intValue } == [3, 6, 7])
  }

  @Test func everyEndingDrawsTheLosses() throws {
    let tiny = try TinyRun()
    try tiny.train("run", interruption: StopAfter(polls: 14).poll)
    let cut = String(decoding: try tiny.bytes("run/loss.svg"), as: UTF8.self)
    try tiny.resume("run")
    let whole = String(decoding: try tiny.bytes("run/loss.svg"), as: UTF8.self)
    #expect(cut.contains("<polyline") && cut.hasSuffix("</svg>\n"))
    #expect(whole.contains(">recipe<") && whole != cut)
  }
}
