// `qlora import-config`: another tool's configuration becomes a recipe; nothing is lost silently.
import ArgumentParser
import QLoRAImport
import QLoRAJSON

struct ImportConfigCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "import-config",
    abstract: "Turns a configuration of axolotl, torchtune, LLaMA-Factory or PEFT into a recipe.",
    discussion: """
      The recipe goes to stdout, or to a new file with --output. What was carried over, what \
      changed, and what could not be carried and why goes to stderr; --json prints both as one \
      object. Values that the other tool has by default and qlora has not are written down.

      Example:
        qlora import-config qlora.yml --output my-recipe.json
        qlora import-config outputs/adapter_config.json --json
      """)

  @Argument(help: "The configuration: YAML, or PEFT's adapter_config.json.")
  var file: String

  @Option(help: ArgumentHelp("The file to write; never overwrites.", valueName: "recipe"))
  var output: String?

  @Option(
    help: ArgumentHelp(
      "Whose configuration it is, where its keys do not tell: "
        + ImportedRecipe.Tool.allCases.map(\.rawValue).joined(separator: ", ") + ".",
      valueName: "tool"),
    transform: { word in
      guard let tool = ImportedRecipe.Tool(rawValue: word) else {
        throw ValidationError("there is no import from \(word)")
      }
      return tool
    })
  var from: ImportedRecipe.Tool?

  @OptionGroup var options: OutputOptions

  func run() throws {
    let imported = try ImportedRecipe(path: file, from: from)
    if let output { try NewFile.write(Array(imported.text.utf8), to: output) }
    if options.json {
      Console.output(
        json: .dictionary([
          ("tool", .string(imported.tool.rawValue)), ("recipe", imported.recipe),
          ("notes", .list(imported.notes.map(\.jsonValue))),
        ]))
      return
    }
    if let output { Console.output(output) } else { Console.outputPart(imported.text) }
    Console.errorPart(imported.report)
  }
}
