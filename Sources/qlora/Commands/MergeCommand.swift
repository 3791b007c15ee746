// `qlora merge`: an adapter folded into its base model.
import ArgumentParser
import QLoRAModels
import QLoRAPipeline
import QLoRATensor

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Folds an adapter into its base and writes a folder that transformers loads.",
    discussion: """
      Example:
        qlora merge --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --output merged
      """)

  @Option(help: "The base model: a folder or a GGUF file. (default: the one the adapter names)")
  var model: String?

  @Option(help: "The PEFT adapter folder.")
  var adapter: String

  @Option(help: ArgumentHelp("The folder to write; it must not exist.", valueName: "dir"))
  var output: String

  @Option(help: "Number type of the weights: bf16, fp16 or fp32.")
  var dtype = "bf16"

  @Option(
    help: ArgumentHelp(
      "original: fold into the base's own weights; quantized: into those that training saw.",
      valueName: "base"))
  var base = MergeBase.original.rawValue

  func validate() throws {
    if NumberType.dtype(dtype) == nil {
      throw ValidationError("--dtype must be bf16, fp16 or fp32, found \"\(dtype)\".")
    }
    if MergeBase(rawValue: base) == nil {
      throw ValidationError("--base must be original or quantized, found \"\(base)\".")
    }
  }

  func run() throws {
    try Pipeline.merge(
      model: model, adapter: adapter, base: MergeBase(rawValue: base) ?? .original,
      dtype: NumberType.dtype(dtype) ?? .bfloat16, to: output)
    Console.output(output)
  }
}

/// The short names of number types on the command line; the long ones are understood too.
enum NumberType {
  static func dtype(_ word: String) -> DType? {
    switch word {
    case "bf16", "bfloat16": .bfloat16
    case "fp16", "float16": .float16
    case "fp32", "float32": .float32
    default: nil
    }
  }
}
