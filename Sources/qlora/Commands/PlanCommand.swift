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

      Example:
        qlora plan Recipes/smollm2-135m-qlora-tool-calls.json
        qlora plan my-recipe.json --set training.activationMemory=256MiB --json
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  func run() throws {
    let plan = try Pipeline.plan(try recipe.load())
    if output.json {
      Console.output(json: plan.jsonValue)
    } else {
      Console.output(plan.text)
    }
    if let problem = plan.problem { throw problem }
  }
}
