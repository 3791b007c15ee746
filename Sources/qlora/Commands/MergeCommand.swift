// `qlora merge`: an adapter folded into its base model.
import ArgumentParser
import QLoRAPipeline

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Folds an adapter into its base and writes a folder that transformers loads.",
    discussion: """
      Example:
        qlora merge --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --output merged
      """)

  @Option(help: "The base model: a folder or a GGUF file.")
  var model: String

  @Option(help: "The PEFT adapter folder.")
  var adapter: String

  @Option(help: ArgumentHelp("The folder to write; it must not exist.", valueName: "dir"))
  var output: String

  @Option(help: "Number type of the weights: bf16, fp16 or fp32.")
  var dtype = "bf16"

  func validate() throws {
    if !["bf16", "fp16", "fp32"].contains(dtype) {
      throw ValidationError("--dtype must be bf16, fp16 or fp32, found \"\(dtype)\".")
    }
  }

  func run() throws {
    try Pipeline.merge(model: model, adapter: adapter, output: output, dtype: dtype)
    Console.output(output)
  }
}
