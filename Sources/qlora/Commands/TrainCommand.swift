// `qlora train`: a recipe becomes a run directory with an adapter in it.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline
import QLoRARecipe

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Trains an adapter as a recipe says.",
    discussion: """
      Interrupted once (Ctrl-C, or SIGTERM from a scheduler), it saves a checkpoint and exits \
      with 75; `qlora resume` continues exactly there.

      Example:
        qlora train Recipes/smollm2-135m-qlora-tool-calls.json --set training.steps=30
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var json: OutputOptions

  @Option(help: ArgumentHelp("The run's folder instead of the recipe's.", valueName: "dir"))
  var output: String?

  func run() throws {
    let folder = output.map {
      RecipeOverride("output", .string($0), spelled: "--output \($0)")
    }
    let resolved = try recipe.load(also: folder.map { [$0] } ?? [])
    let printer = ProgressPrinter(json: json.json)
    let cache = try BaseCache.standard { printer.show(.training(.warning($0))) }
    let outcome = try Pipeline.train(
      resolved, cache: cache, secondsLeft: JobLimit.secondsLeft
    ) { printer.show($0) }
    try RunEnding.show(outcome, json: json.json)
  }
}
