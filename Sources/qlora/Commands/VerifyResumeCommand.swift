// `qlora verify-resume`: whether a stopped and resumed run of a recipe ends with the same bits.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline
import QLoRARecipe

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct VerifyResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify-resume",
    abstract: "Proves on a recipe that a resumed run ends with the bits of an uninterrupted one.",
    discussion: """
      Trains twice in a temporary folder (TMPDIR says where): once through, and once stopped in \
      the middle and resumed. Compares adapter, optimizer state, counters and metrics bit for bit, \
      all but times and memory. Leaves nothing behind.

      Example:
        qlora verify-resume Recipes/smollm2-135m-qlora-tool-calls.json --steps 6
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  @Option(parsing: .unconditional, help: "So many optimizer steps instead of the recipe's.")
  var steps: Int?

  func run() throws {
    let length = steps.map {
      RecipeOverride("training.steps", .int($0), spelled: "--steps \($0)")
    }
    let resolved = try recipe.load(also: length.map { [$0] } ?? [])
    let warn = { (text: String) in Console.error("warning: \(text)") }
    let cache = try BaseCache.standard { warn("\($0)") }
    let folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("qlora-verify-resume-\(UUID().uuidString)").path
    var stage: ResumeProofStage?
    let proof = try Pipeline.verifyResume(
      resolved, in: folder, cache: cache,
      events: { now, event in
        if now != stage { Console.error("\(now.rawValue) run") }
        stage = now
        if case .training(.warning(let warning)) = event { warn("\(warning)") }
      })
    show(proof)
    if let problem = proof.problem { throw problem }
  }

  private func show(_ proof: ResumeProof) {
    for item in proof.comparison.items {
      if output.json {
        Console.output(
          json: .dictionary([
            ("name", .string(item.name)), ("bytes", .int(item.byteCount)),
            ("difference", item.difference.map { .string($0) } ?? .null),
          ]))
      } else {
        Console.output("\(item.name): \(item.difference ?? "the same, \(item.byteCount) bytes")")
      }
    }
    let isSame = proof.problem == nil
    if output.json {
      Console.output(
        json: .dictionary([
          ("steps", .int(proof.stepCount)), ("stoppedAfterStep", .int(proof.stoppedAfterStep)),
          ("same", .bool(isSame)),
        ]))
    } else if isSame {
      Console.output(
        "stopped after step \(proof.stoppedAfterStep) of \(proof.stepCount) and resumed: "
          + "no bit differs")
    }
  }
}
