// `qlora preview`: the rows as the model will see them.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport

struct PreviewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preview",
    abstract: "Shows the sequences of a run in training order, and what is in all rows.",
    discussion: """
      Trained tokens stand in [brackets], or in green on a terminal; a border marks where a packed \
      row begins. Counts tell who wrote how many tokens, which rows were cut or left out, which \
      spell control tokens, and which repeat others. Nothing is written but the page of --html.

      Example:
        qlora preview Recipes/smollm2-135m-qlora-tool-calls.json -n 2
        qlora preview my-recipe.json -n 20 --html preview.html
      """)

  @OptionGroup var recipe: RecipeOptions
  @OptionGroup var output: OutputOptions

  @Option(name: .customShort("n"), parsing: .unconditional, help: "How many sequences.")
  var count = 3

  @Option(help: ArgumentHelp("Writes a page instead; never overwrites.", valueName: "file"))
  var html: String?

  func validate() throws {
    if count < 1 { throw ValidationError("-n must be at least 1.") }
    if html != nil, output.json { throw ValidationError("--html and --json exclude each other.") }
  }

  func run() throws {
    let report = try Pipeline.preview(try recipe.load(), count: count)
    if output.json {
      for sequence in report.sequences { Console.output(json: sequence.line.json) }
    } else if let html {
      try NewFile.write(report.html.utf8, to: html)
      Console.output(html)
    } else {
      Console.outputPart(
        report.text(
          colors: Console.stdoutIsTerminal && Console.wantsColor,
          width: Console.stdoutIsTerminal ? Console.terminalWidth : nil))
    }
  }
}
