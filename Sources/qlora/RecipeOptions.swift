// The arguments that every command with a recipe takes.
import ArgumentParser
import QLoRAJSON
import QLoRARecipe

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

struct RecipeOptions: ParsableArguments {
  @Argument(help: "The recipe, a JSON file.")
  var recipe: String

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Sets a key of the recipe; the value is JSON, else a string. May be repeated.",
      valueName: "key=value"))
  var settings: [String] = []

  /// The recipe with `--set`, further options and the environment laid over it.
  func load(
    also more: [RecipeOverride] = [], requiresInputs: Bool = true
  ) throws -> ResolvedRecipe {
    try RecipeLoader.load(
      path: recipe, overrides: settings.map { try RecipeOverride(argument: $0) } + more,
      environment: ProcessInfo.processInfo.environment, requiresInputs: requiresInputs)
  }
}

struct OutputOptions: ParsableArguments {
  @Flag(help: "Prints JSON to stdout, one object on a line.")
  var json = false
}
