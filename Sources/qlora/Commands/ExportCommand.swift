// `qlora export`: a run's adapter in the form that another tool wants.
import ArgumentParser
import QLoRAPipeline

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Writes a run's or an adapter folder's weights for another tool.",
    discussion: """
      Example:
        qlora export runs/tool-calls --format peft --output my-adapter
      """)

  @Argument(help: ArgumentHelp("A run or an adapter folder.", valueName: "run-or-adapter"))
  var source: String

  @Option(help: "peft (an adapter folder) or merged (a whole model for transformers).")
  var format: String

  @Option(help: ArgumentHelp("The folder to write; it must not exist.", valueName: "path"))
  var output: String

  @Option(help: "The base model for merged, where the adapter's own path no longer holds.")
  var model: String?

  func validate() throws {
    if !["peft", "merged"].contains(format) {
      throw ValidationError("--format must be peft or merged, found \"\(format)\".")
    }
  }

  func run() throws {
    if format == "merged" {
      try Pipeline.merge(
        model: model, adapter: source, base: .original, dtype: .bfloat16, to: output)
    } else {
      try Pipeline.exportAdapter(source, to: output)
    }
    Console.output(output)
  }
}
