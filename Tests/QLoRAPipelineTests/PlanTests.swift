// What `plan` says is what a run does, it fits the machine or is refused, and nothing is written.
import Foundation
import QLoRACPU
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct PlanTests {
  @Test func codeOfTheModelIsNamedOnce() throws {
    let tiny = try TinyRun()
    #expect(try Pipeline.plan(tiny.recipe("run")).warnings.isEmpty)
    let config = String(decoding: try tiny.bytes("model/config.json"), as: UTF8.self)
    let members = String(config.drop { $0 != "{" }.dropFirst())
    try tiny.write(
      "model/config.json", #"{"auto_map": {"AutoModel": "modeling_x.X"},"# + members)
    #expect(try Pipeline.plan(tiny.recipe("run")).warnings.map(\.code.number) == ["E0256"])
    var told: [String] = []
    try tiny.train(
      "run", ["training.steps=1"],
      events: { event in
        if case .training(.warning(let warning)) = event { told.append(warning.code.number) }
      })
    #expect(told == ["E0256"])
  }

  private func plan(_ tiny: TinyRun, _ settings: [String] = []) throws -> RunPlan {
    try Pipeline.plan(tiny.recipe("run", settings))
  }

  @Test func saysWhatTheRunSays() throws {
    let tiny = try TinyRun()
    let plan = try plan(tiny)
    var summary: RunSummary?
    try tiny.train("run", events: { if case .prepared(let known) = $0 { summary = known } })
    let run = try #require(summary)
    #expect(plan.trainableParameters == run.trainableParameters)
    #expect(plan.memory.weightBytes == run.weightBytes)
    #expect(plan.stepCount == run.stepCount && plan.report == run.report)
    let adapter = try tiny.bytes("run/adapter/adapter_model.safetensors").count
    #expect(abs(plan.disk.adapterBytes - adapter) * 20 < adapter)
    #expect(try #require(plan.disk.availableBytes) > 0)
    #expect(plan.fits && plan.problem == nil)
  }

  /// Their file is a header, whose length stands in its first eight bytes, and the states.
  @Test(arguments: ["adamw", "adamw8bit", "lion", "lion8bit", "sgd"])
  func optimizerStatesAreAsLargeAsPlanned(type: String) throws {
    let tiny = try TinyRun()
    let settings = ["training.optimizer.type=\(type)", "adapter.rank=64", "training.steps=1"]
    try tiny.train("run", settings)
    let file = try tiny.result("run").optimizer
    let header = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(try plan(tiny, settings).memory.optimizerBytes == file.count - 8 - header)
  }

  /// Of states on the disk, memory holds those of two parameters at the most.
  @Test func pagedStatesAreOnTheDisk() throws {
    let tiny = try TinyRun()
    let settings = { (type: String) in
      ["training.optimizer.type=\(type)", "adapter.rank=64"]
    }
    let (plain, paged) = (try plan(tiny, settings("adamw")), try plan(tiny, settings("pagedadamw")))
    #expect(paged.memory.optimizerBytes * 5 < plain.memory.optimizerBytes)
    #expect(plain.disk.pagedBytes == 0)
    #expect(paged.disk.pagedBytes >= plain.memory.optimizerBytes)
  }

  @Test func writesNothing() throws {
    let tiny = try TinyRun()
    let before = try FileManager.default.subpathsOfDirectory(atPath: tiny.folder.url.path())
    _ = try plan(tiny, ["training.activationMemory=full"])
    #expect(try FileManager.default.subpathsOfDirectory(atPath: tiny.folder.url.path()) == before)
  }

  @Test func stepsAreMeasuredAndNothingStays() throws {
    let tiny = try TinyRun()
    let files = { try FileManager.default.subpathsOfDirectory(atPath: tiny.folder.url.path()) }
    let before = try files()
    let recipe = try tiny.recipe("run", ["training.steps=9"])
    let (plan, trial) = try Pipeline.measure(recipe, interruption: { nil })
    #expect(trial.steps.count == 3 && trial.steps.prefix(2).map(\.step) == [1, 2])
    #expect(trial.steps.allSatisfy { $0.tokens > 0 && $0.seconds > 0 })
    #expect(trial.tokensPerSecond > 0 && trial.totalSeconds > trial.loadSeconds)
    #expect((trial.evaluationSeconds != nil) == (plan.memory.evaluationBytes > 0))
    #expect(trial.peakBytes > 0 && plan.stepCount == 9)
    #expect(try files() == before)
  }

  @Test func aSignalEndsTheMeasurement() throws {
    let tiny = try TinyRun()
    let stop = try #require(throws: Diagnostic.self) {
      try Pipeline.measure(tiny.recipe("run", []), interruption: { 15 })
    }
    #expect(stop.code.number == "E0575" && stop.code.exitCode == .stoppedResumable)
  }

  /// Unpacked rows rarely meet so that the longest are all in one micro-batch.
  @Test func rowsOfTheirOwnAreTakenAsTheyMeet() throws {
    let tiny = try TinyRun()
    let plan = try plan(tiny, ["data.packing=false", "training.batchSize=2"])
    #expect(plan.largestTokens <= plan.report.tokens)
    let packed = try self.plan(tiny, ["training.batchSize=2"])
    #expect(plan.largestTokens <= packed.largestTokens)
  }

  @Test func skipsThatNameNothingAreWarnedOf() throws {
    let tiny = try TinyRun()
    let skip = #"model.quantization.skip=["q_porj","down_proj","lm_head"]"#
    let warnings = try plan(tiny, [skip]).warnings
    #expect(
      warnings.map(\.message) == [
        #"model.quantization.skip "q_porj" names no linear of this model"#
      ])
    var told: [String] = []
    try tiny.train(
      "run", [skip, "training.steps=1"],
      events: { event in
        if case .training(.warning(let warning)) = event { told.append(warning.message) }
      })
    #expect(told == warnings.map(\.message))
  }

  /// PEFT 0.21 loads such an adapter without a word, and is wrong by half a nat.
  @Test(arguments: [
    ("qwen3-moe-dense", AdapterTargets.allLinear, true), ("qwen3-moe", .allLinear, false),
    ("qwen3-moe-dense", .names(["q_proj"]), false),
  ])
  func mlpsAmongExpertsAreWarnedOf(_ family: String, _ targets: AdapterTargets, _ warns: Bool)
    throws
  {
    let model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(family)")), backend: try CPUBackend(threads: 1),
      options: LoadOptions(quantization: nil, computeDType: .float32)
    ).load()
    try model.addAdapters(AdapterOptions(rank: 2, alpha: 4, targets: targets))
    let warnings = try TinyRun().recipe("run", []).recipe.warnings(about: model)
    #expect(warnings.map(\.code) == (warns ? [.adapterNotPortable] : []))
  }

  @Test func budgetsBuyOperations() throws {
    let tiny = try TinyRun()
    let most = try plan(tiny).memory.step.activationBytes
    let full = try plan(tiny, ["training.activationMemory=full"])
    #expect(full.policies.map(\.policy) == [.input])
    // The processor's memory is the host's.
    let host = try plan(tiny, ["training.activationMemory=host"])
    #expect(host.policies.map(\.policy) == [.outside] && host.memory.step == full.memory.step)
    var before = full.recomputedFraction
    let least = full.memory.step.activationBytes
    for budget in stride(from: least, through: most, by: (most - least) / 5) {
      let plan = try plan(tiny, ["training.activationMemory=\(budget)"])
      #expect(plan.memory.step.activationBytes <= budget)
      #expect(plan.recomputedFraction <= before)
      before = plan.recomputedFraction
    }
    let plain = try plan(tiny, ["training.activationMemory=\(most)"])
    #expect(plain.recomputedFraction == 0 && plain.policies.map(\.policy) == [.everything])
  }

  @Test func aBudgetTooSmallNamesTheLeast() throws {
    let tiny = try TinyRun()
    let failure = #expect(throws: Diagnostic.self) {
      try plan(tiny, ["training.activationMemory=1KiB"])
    }
    #expect(failure?.code.number == "E0558" && failure?.code.exitCode == .wouldNotFit)
    let message = failure?.message ?? ""
    let words = message.split(separator: " ")
    let least = try #require(words.last.map(String.init))
    #expect(throws: Never.self) { try plan(tiny, ["training.activationMemory=\(least)"]) }
    // The run itself refuses too, before it loads anything, and leaves no folder.
    let refused = #expect(throws: Diagnostic.self) {
      try tiny.train("run", ["training.activationMemory=1KiB"])
    }
    #expect(refused?.message == message)
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("run")))
  }

  @Test func whatDoesNotFitIsRefused() throws {
    let tiny = try TinyRun()
    var plan = try plan(tiny)
    plan.memoryLimitBytes = plan.memory.peakBytes
    #expect(plan.problem == nil)
    plan.memoryLimitBytes = plan.memory.peakBytes - 1
    #expect(plan.problem?.code.number == "E0559" && plan.problem?.code.exitCode == .wouldNotFit)
    plan.memoryLimitBytes = nil
    plan.disk.availableBytes = plan.disk.totalBytes - 1
    #expect(plan.problem?.code.number == "E0560" && plan.problem?.code.exitCode == .wouldNotFit)
  }
}
