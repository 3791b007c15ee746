// `qlora schema`: the recipe's JSON Schema, for editors.
import ArgumentParser
import QLoRAJSON
import QLoRARecipe

struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Prints the JSON Schema (2020-12) of recipes.",
    discussion: """
      Point a recipe's "$schema" at the file, and an editor completes and explains its keys.

      Example:
        qlora schema > recipe.schema.json
      """)

  func run() throws {
    Console.output(JSONWriter.text(RecipeSchema.jsonValue, style: .indented))
  }
}
