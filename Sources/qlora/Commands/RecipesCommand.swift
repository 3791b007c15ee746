// `qlora recipes`: the recipes that come with qlora.
import ArgumentParser
import QLoRAJSON
import QLoRARecipe

struct RecipesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recipes",
    abstract: "Lists, prints or copies the recipes that come with qlora.",
    discussion: """
      Example:
        qlora recipes ls
        qlora recipes cp smollm2-135m-qlora-tool-calls my-recipe.json
      """,
    subcommands: [List.self, Print.self, Copy.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "Lists the recipes.", discussion: "Example:\n  qlora recipes ls")

    @OptionGroup var output: OutputOptions

    func run() throws {
      let shelf = try RecipeShelf.find()
      let purposes = shelf.purposes()
      let recipes = try shelf.recipes()
      let width = recipes.map(\.name.count).max() ?? 0
      for recipe in recipes {
        let purpose = purposes[recipe.name] ?? ""
        if output.json {
          Console.output(
            json: .dictionary([
              ("name", .string(recipe.name)), ("path", .string(recipe.path)),
              ("purpose", .string(purpose)),
            ]))
        } else {
          Console.output("\(Table.pad(recipe.name, width))  \(purpose)")
        }
      }
    }
  }

  struct Print: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "cat", abstract: "Prints a recipe.",
      discussion: "Example:\n  qlora recipes cat smollm2-135m-qlora-tool-calls")

    @Argument(help: "The recipe's name.")
    var name: String

    func run() throws {
      Console.outputPart(String(decoding: try RecipeShelf.find().contents(of: name), as: UTF8.self))
    }
  }

  struct Copy: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "cp", abstract: "Copies a recipe; never overwrites.",
      discussion: "Example:\n  qlora recipes cp smollm2-135m-qlora-tool-calls my-recipe.json")

    @Argument(help: "The recipe's name.")
    var name: String

    @Argument(help: "The file to write; NAME.json in the working directory if not given.")
    var destination: String?

    func run() throws {
      let contents = try RecipeShelf.find().contents(of: name)
      let path = destination ?? "\(name).json"
      try NewFile.write(
        contents, to: path, remedy: "give another name as the second argument")
      Console.output(path)
    }
  }
}
