// `qlora schema`: the recipe's JSON Schema, for editors.
import ArgumentParser
import QLoRAJSON
import QLoRARecipe

struct SchemaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schema",
    abstract: "Prints the JSON Schema of recipes (draft 2020-12, or 07).",
    discussion: """
      Point a recipe's "$schema" at the file, and an editor completes and explains its keys.

      Example:
        qlora schema > recipe.schema.json
        qlora schema --draft 07 > recipe.schema.json
      """)

  @Option(
    help: ArgumentHelp("The draft of JSON Schema: 2020-12 or 07.", valueName: "draft"),
    transform: { word in
      guard let draft = RecipeSchema.Draft(rawValue: word) else {
        throw ValidationError("the draft must be 2020-12 or 07, found \(word)")
      }
      return draft
    })
  var draft = RecipeSchema.Draft.latest

  func run() throws {
    Console.output(JSONWriter.text(RecipeSchema.jsonValue(draft), style: .indented))
  }
}
