// `qlora plan`: what a run will take, before it is started.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Shows what a run will take: memory by part, disk, steps, work; writes nothing.",
    discussion: """
      No weight is read: the run's own code is rehearsed without data. Where the run would not fit \
      into the memory of this machine or container, or onto the disk, the exit code is 81.

      With --measure the model is loaded and three of the run's steps, a part of an evaluation \
      and a save are timed; nothing of them stays.

      Example:
        qlora plan Recipes/smollm2-135m-qlora-tool-calls.json
        qlora plan my-recipe.json --set training.activationMemory=256MiB --json
        qlora plan my-recipe.json --measure
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  @Flag(help: "Loads the model and times three steps; says how long the run will take.")
  var measure = false

  func run() throws {
    if measure { return try runMeasured() }
    let plan = try Pipeline.plan(try recipe.load())
    if let choice = plan.deviceChoice { Console.error(choice) }
    plan.warnings.forEach { Console.error("warning: \($0)") }
    if output.json {
      Console.output(json: plan.jsonValue)
    } else {
      Console.output(plan.text)
    }
    if let problem = plan.problem { throw problem }
  }

  private func runMeasured() throws {
    let status = StatusLine()
    let (plan, trial) = try Pipeline.measure(
      try recipe.load(), progress: { status.show("loading \(Int($0 * 100)) %") })
    status.clear()
    if let choice = plan.deviceChoice { Console.error(choice) }
    plan.warnings.forEach { Console.error("warning: \($0)") }
    if output.json {
      Console.output(json: .object((plan.jsonValue.objectMembers ?? []) + [trial.jsonMember]))
    } else {
      Console.output(plan.text)
      Console.output("\n" + trial.text(predictedPeakBytes: plan.memory.peakBytes))
    }
  }
}
