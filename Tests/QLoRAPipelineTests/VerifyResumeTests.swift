// `qlora verify-resume` says that runs are the same where they are, and what differs where they are
// not.
import Foundation
import QLoRADiagnostics
import QLoRAPipeline
import QLoRASystem
import TestSupport
import Testing

@Suite struct VerifyResumeTests {
  private func proof(
    _ tiny: TinyRun, _ settings: [String] = [], alter: (String) throws -> Void = { _ in }
  ) throws -> ResumeProof {
    try Pipeline.verifyResume(
      try tiny.recipe("unused", settings), in: tiny.folder.path("proof"),
      interruption: { nil }, alter: alter)
  }

  @Test func equalRuns() throws {
    let tiny = try TinyRun()
    let proof = try proof(tiny)
    #expect(proof.problem == nil)
    #expect(proof.stepCount == 7 && (2...5).contains(proof.stoppedAfterStep))
    let names = proof.comparison.items.map(\.name)
    for name in [
      "adapter/adapter_model.safetensors", "adapter/adapter_config.json",
      "checkpoint/adapter_model.safetensors", "checkpoint/optimizer.safetensors",
      "checkpoint/state.json", "metrics.jsonl",
    ] {
      #expect(names.contains(name))
    }
    #expect(proof.comparison.items.allSatisfy { $0.byteCount > 0 })
    // Neither the proof's folder nor the recipe's output is left.
    for name in ["proof", "unused"] {
      #expect(!FileManager.default.fileExists(atPath: tiny.folder.path(name)))
    }
  }

  /// The middle of one step and an evaluation of four batches is within the evaluation.
  @Test func stoppedWithinTheLastEvaluation() throws {
    let proof = try proof(
      try TinyRun(), ["training.steps=1", "training.gradientAccumulation=1"])
    #expect(proof.stoppedAfterStep == 1 && proof.stepCount == 1)
    #expect(proof.problem == nil, "\(proof.comparison.items)")
  }

  @Test func anotherCounter() throws {
    let proof = try proof(try TinyRun()) { run in
      let store = run + "/checkpoints/step-00000007"
      let url = URL(filePath: store + "/state.json")
      let text = try String(contentsOf: url, encoding: .utf8)
      try FileManager.default.removeItem(atPath: store + "/MANIFEST.json")
      let other = text.replacing("\"skippedSteps\": 0", with: "\"skippedSteps\": 1")
      let directory = try AtomicDirectory(
        "step-00000008", in: run + "/checkpoints", expectedByteCount: 0)
      for name in ["adapter_model.safetensors", "adapter_config.json", "optimizer.safetensors"] {
        try directory.write(name, [UInt8](try Data(contentsOf: URL(filePath: store + "/" + name))))
      }
      try directory.write("state.json", Array(other.utf8))
      _ = try directory.commit()
      try FileManager.default.removeItem(atPath: store)
      try FileManager.default.moveItem(
        atPath: run + "/checkpoints/step-00000008", toPath: store)
    }
    let message = try #require(proof.problem?.message)
    #expect(message.contains("checkpoint/state.json: number 8"), "\(message)")
    #expect(message.contains(#"{"skippedSteps":0}, is {"skippedSteps":1}"#), "\(message)")
  }

  @Test func aLimitOfTimeIsNotForProofs() throws {
    let recipe = try TinyRun().recipe("unused", ["training.maxWallTime=1s"])
    #expect(recipe.recipe.training.maxWallTime?.seconds == 1)
    let proof = recipe.withoutLimit(writingTo: "elsewhere").recipe
    #expect(proof.training.maxWallTime == nil && proof.output == "elsewhere")
  }

  /// Differences put into the resumed run before the comparison.
  @Test(arguments: ["adapter/adapter_model.safetensors", "adapter/README.md", "metrics.jsonl"])
  func oneOtherByte(file: String) throws {
    let tiny = try TinyRun()
    let proof = try proof(tiny) { run in
      let url = URL(filePath: run + "/" + file)
      var bytes = try Data(contentsOf: url)
      // A digit of the first loss in the log, the last byte elsewhere.
      let place = file == "metrics.jsonl" ? 22 : bytes.count - 1
      bytes[place] ^= 1
      try bytes.write(to: url)
    }
    let problem = try #require(proof.problem)
    #expect(problem.code.number == "E0565" && problem.code.exitCode == .internalError)
    #expect(problem.message.contains("differs in \(file)"), "\(problem)")
    #expect(proof.comparison.items.count { $0.difference != nil } == 1)
  }

  @Test func aMissingAndAnotherCheckpoint() throws {
    let tiny = try TinyRun()
    let less = try proof(tiny) { run in
      try FileManager.default.removeItem(atPath: run + "/checkpoints/step-00000007")
    }
    #expect(less.problem?.message.contains("step 7 and of step 6") == true)
    let gone = try proof(tiny) { run in
      try FileManager.default.removeItem(atPath: run + "/adapter/adapter_config.json")
    }
    #expect(gone.problem?.message.contains("only the uninterrupted run has it") == true)
  }

  @Test(arguments: [1, 9, 40])
  func aSignalLeavesNothing(polls: Int) throws {
    let tiny = try TinyRun()
    let stop = StopAfter(polls: polls)
    let error = #expect(throws: Diagnostic.self) {
      try Pipeline.verifyResume(
        try tiny.recipe("unused"), in: tiny.folder.path("proof"), interruption: stop.poll)
    }
    #expect(error?.code.number == "E0566" && error?.code.exitCode == .stoppedResumable)
    #expect(!FileManager.default.fileExists(atPath: tiny.folder.path("proof")))
  }

  @Test(.enabled(if: QLoRAProcess.isBuilt())) func asACommand() throws {
    let tiny = try TinyRun()
    let end = try QLoRAProcess(
      ["verify-resume", "recipe.json", "--steps", "4"], in: tiny.folder.url,
      shell: "TMPDIR=. \"$0\" \"$@\" 1>&2"
    ).finish()
    #expect(end.code == 0, "\(end.text)")
    #expect(end.text.contains("of 4 and resumed: no bit differs"))
    let left = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path(""))
    #expect(!left.contains { $0.hasPrefix("qlora-verify-resume") || $0 == "runs" })
  }
}
