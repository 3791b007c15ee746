// Runs on images: that they learn, stop and go on with the same bits, take what was planned, and
// leave what diffusers loads.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAPipeline
import QLoRARecipe
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

@Suite struct ImageRunTests {
  @Test(arguments: ["tiny-flux", "tiny-sd3"])
  func anAdapterIsTrainedAndNamedAsDiffusersNamesIt(_ family: String) throws {
    let tiny = try TinyImageRun(family)
    let outcome = try Pipeline.train(try tiny.recipe(), interruption: { nil }) { _ in }
    #expect(outcome.step == 4)
    let path = try #require(outcome.adapterPath)
    let file = try SafetensorsFile(path: path + "/pytorch_lora_weights.safetensors")
    let name = "transformer.transformer_blocks.0.attn.to_out.0.lora_B.weight"
    #expect(try file.readTensor(name).floats().contains { $0 != 0 })
    #expect(file.entries.allSatisfy { $0.name.hasPrefix("transformer.") })
    let metadata = try #require(file.metadata["lora_adapter_metadata"])
    #expect(metadata.contains("\"transformer.lora_alpha\""))
    let peft = try PEFTAdapter.read(path)
    #expect(2 * peft.pairs.count == file.entries.count && peft.config.alpha == 6)
  }

  /// Overfitting what it has must lower the loss that every evaluation measures alike.
  @Test func itLearns() throws {
    let tiny = try TinyImageRun("tiny-flux")
    var losses: [Double] = []
    let resolved = try tiny.recipe([
      RecipeOverride("training.steps", .int(40), spelled: ""),
      RecipeOverride("data.validation.0.path", .string(tiny.folder.path("train")), spelled: ""),
    ])
    _ = try Pipeline.train(resolved, interruption: { nil }) { event in
      if case .training(.evaluation(let metrics)) = event { losses.append(metrics.loss) }
    }
    #expect(try #require(losses.last) < 0.9 * losses[0])
  }

  @Test(arguments: ["none", "full"])
  func aStoppedRunEndsWithTheSameBits(_ memory: String) throws {
    let tiny = try TinyImageRun("tiny-flux")
    let resolved = try tiny.recipe([tiny.override("training.activationMemory", memory)])
    let proof = try Pipeline.verifyResume(
      resolved, in: tiny.folder.path("proof"), interruption: { nil })
    #expect(proof.problem == nil)
    #expect(proof.stepCount == 4 && 0..<4 ~= proof.stoppedAfterStep)
  }

  @Test func recomputationAndThreadsChangeNoBit() throws {
    let tiny = try TinyImageRun("tiny-sd3")
    func adapter(_ overrides: [RecipeOverride], _ name: String) throws -> Data {
      let output = tiny.override("output", tiny.folder.path(name))
      let outcome = try Pipeline.train(
        try tiny.recipe(overrides + [output]), interruption: { nil }) { _ in }
      let path = try #require(outcome.adapterPath)
      return try Data(contentsOf: URL(filePath: path + "/adapter_model.safetensors"))
    }
    let plain = try adapter([], "plain")
    let full = tiny.override("training.activationMemory", "full")
    #expect(try adapter([full], "recomputed") == plain)
    let bytes = try Pipeline.plan(try tiny.recipe()).memory.step.activationBytes
    let less = tiny.override("training.activationMemory", "\(bytes / 1024 - 1)KiB")
    #expect(try adapter([less], "less") == plain)
    let one = RecipeOverride("threads", .int(1), spelled: "")
    #expect(try adapter([one], "one-thread") == plain)
  }

  @Test func aPlanSaysWhatTheRunIs() throws {
    let tiny = try TinyImageRun("tiny-sd3")
    let plan = try Pipeline.plan(try tiny.recipe())
    #expect(plan.stepCount == 4 && plan.report.encodedRows == 5)
    // The two largest samples: text and patches.
    #expect(plan.largestTokens == 2 * (5 + 6))
    #expect(plan.memory.step.activationBytes > 0 && plan.operationsPerToken > 0)
    let full = try Pipeline.plan(
      try tiny.recipe([tiny.override("training.activationMemory", "full")]))
    #expect(full.memory.step.activationBytes < plan.memory.step.activationBytes)
    #expect(full.recomputedFraction > 0.1)
    // A byte less than everything takes one block again, and a byte less than that is too little.
    func budget(_ bytes: Int) throws -> RunPlan {
      let override = RecipeOverride(
        "training.activationMemory", .int(bytes), spelled: "activationMemory")
      return try Pipeline.plan(try tiny.recipe([override]))
    }
    let most = plan.memory.step.activationBytes
    #expect(try budget(most).policies.map(\.blocks) == [plan.policies[0].blocks])
    let less = try budget(most - 1)
    #expect(less.policies.map(\.policy) == [.input, .everything])
    #expect(less.memory.step.activationBytes < most)
    let least = full.memory.step.activationBytes
    #expect(try budget(least).policies.map(\.policy) == [.input])
    let error = #expect(throws: Diagnostic.self) { try budget(least - 1) }
    #expect(error?.code == .activationBudgetTooSmall)
  }

  @Test func aRunThatWouldNotFitIsRefused() throws {
    let tiny = try TinyImageRun("tiny-flux")
    let resolved = try tiny.recipe([tiny.override("maxMemory.cpu", "1MiB")])
    let error = #expect(throws: Diagnostic.self) {
      _ = try Pipeline.train(resolved, interruption: { nil }) { _ in }
    }
    #expect(error?.code == .memoryBudgetTooSmall)
  }

  @Test func changedLatentsEndAResume() throws {
    let tiny = try TinyImageRun("tiny-flux")
    var polls = 0
    _ = try Pipeline.train(
      try tiny.recipe(),
      interruption: {
        polls += 1
        return polls > 20 ? 15 : nil
      }) { _ in }
    try FileManager.default.removeItem(atPath: tiny.folder.path("train/0.safetensors"))
    let error = #expect(throws: Diagnostic.self) {
      _ = try Pipeline.resume(runDirectory: tiny.output, interruption: { nil }) { _ in }
    }
    #expect(error?.code == .inputChanged)
  }

  @Test func latentsOfAnotherModelAreNamed() throws {
    let tiny = try TinyImageRun("tiny-flux")
    var random = SeededGenerator(seed: 1)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write([
      (name: "latents", tensor: Tensor(random.normals(16 * 16), shape: [16, 4, 4]))
    ]) { bytes.append(contentsOf: $0) }
    try Data(bytes).write(to: tiny.folder.url.appending(path: "train/9.safetensors"))
    let error = #expect(throws: Diagnostic.self) { try Pipeline.plan(try tiny.recipe()) }
    #expect(error?.code == .imageDataInvalid)
    #expect(error?.message.contains("[16, 4, 4]") == true)
  }

  @Test func languageKeysAndFormatsAreRefused() throws {
    let tiny = try TinyImageRun("tiny-flux")
    for (path, value) in [
      ("task", "language"),
      ("data.train.0.format", "text"), ("data.overLength", "drop"),
    ] {
      #expect(throws: Diagnostics.self) { try tiny.recipe([tiny.override(path, value)]) }
    }
    #expect(throws: Diagnostic.self) {
      try Pipeline.preview(try tiny.recipe(), count: 1)
    }
  }
}
