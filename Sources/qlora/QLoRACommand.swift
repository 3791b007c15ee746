// The root of the command line: the list of commands.
import ArgumentParser

struct QLoRACommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qlora",
    abstract: "Fine-tunes language models: a frozen 4-bit base, a small trained adapter.",
    discussion: """
      A run is described by a recipe, a JSON file. To begin:
        qlora recipes cp smollm2-135m-qlora-tool-calls my-recipe.json
        qlora validate my-recipe.json
        qlora train my-recipe.json

      Exit codes: 0 ok, 64 usage or recipe, 65 bad model, data or checkpoint, 66 input missing, \
      69 network, 70 internal, 73 output exists, 74 input/output, 75 stopped and resumable, \
      77 permission, 78 resume refused, 80 diverged, 81 would not fit.
      """,
    version: "0.1.0",
    subcommands: [
      ValidateCommand.self, RecipesCommand.self, SchemaCommand.self, ExplainCommand.self,
    ])
}
