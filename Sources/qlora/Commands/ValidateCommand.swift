// `qlora validate`: all errors of a recipe at once, or the recipe with every value filled in.
import ArgumentParser
import QLoRAJSON
import QLoRARecipe

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Checks a recipe and prints it with every value filled in; writes nothing.",
    discussion: """
      Example:
        qlora validate Recipes/smollm2-135m-qlora-tool-calls.json --set training.seed=7
        qlora validate my-recipe.json --explain training.optimizer.learningRate
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  @Option(
    help: ArgumentHelp(
      "Says what a key means, what it holds and who decided that.", valueName: "key"))
  var explain: String?

  func run() throws {
    let resolved = try recipe.load(requiresInputs: explain == nil)
    if let explain {
      let explanation = try RecipeExplanation(explain, in: resolved)
      if output.json {
        Console.output(json: explanation.jsonValue)
      } else {
        Console.output(explanation.text)
      }
    } else if output.json {
      Console.output(json: resolved.jsonValue)
    } else {
      Console.outputPart(resolved.text)
      Console.error("\(recipe.recipe): the recipe is valid")
    }
  }
}
