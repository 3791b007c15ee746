// `qlora export`: a run's adapter, or a model, in the form that another tool wants.
import ArgumentParser
import QLoRAHub
import QLoRAModels
import QLoRAPipeline
import QLoRATensor

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Writes a run's or an adapter folder's weights for another tool.",
    discussion: """
      Example:
        qlora export runs/tool-calls --format peft --output my-adapter
        qlora export runs/tool-calls --format gguf-lora --output my-adapter.gguf
        qlora export runs/tool-calls --format merged-gguf --dtype q8_0 --output my-model.gguf
        qlora export my-model-nf4 --format merged-gguf --output my-model.gguf
      """)

  /// What can be written, by the word of the command.
  enum Format: String, CaseIterable, ExpressibleByArgument {
    case peft
    case ggufLoRA = "gguf-lora"
    case merged
    case mergedGGUF = "merged-gguf"
    case bnb
  }

  @Argument(
    help: ArgumentHelp(
      "A run or an adapter folder; for merged-gguf also a model.", valueName: "source"))
  var source: String

  @Option(
    help: ArgumentHelp(
      """
      peft (an adapter folder), gguf-lora (an adapter for llama.cpp), merged (a whole model for \
      transformers), merged-gguf (one for llama.cpp) or bnb (one in 4 or 8 bits for bitsandbytes).
      """, valueName: "format"))
  var format: Format

  @Option(help: ArgumentHelp("What to write; it must not exist.", valueName: "path"))
  var output: String

  @Option(help: "The base model, where the adapter's own path no longer holds.")
  var model: String?

  @Option(
    help: ArgumentHelp(
      """
      Number type of the weights: bf16, f16 or f32, for merged-gguf also q8_0. (default: f32 for \
      gguf-lora, f16 for merged-gguf, else bf16)
      """, valueName: "type"))
  var dtype: String?

  @Option(
    help: ArgumentHelp(
      """
      What merged and merged-gguf fold the adapter into: 16bit (the base's own weights) or decoded \
      (those that training saw). (default: 16bit)
      """, valueName: "base"))
  var base: String?

  func validate() throws {
    if dtype != nil, format == .peft {
      throw ValidationError("--dtype is not for --format peft, which keeps the adapter's numbers.")
    }
    if let dtype, Pipeline.ggufType(dtype) == nil || dtype == "q8_0" && format != .mergedGGUF {
      throw ValidationError(
        "--dtype must be bf16, f16 or f32, for merged-gguf also q8_0, found \"\(dtype)\".")
    }
    guard let base else { return }
    guard [.merged, .mergedGGUF].contains(format) else {
      throw ValidationError("--base is for --format merged and merged-gguf only.")
    }
    guard [.original, .decoded].contains(MergeBase(word: base)) else {
      throw ValidationError("--base must be 16bit or decoded, found \"\(base)\".")
    }
  }

  func run() throws {
    let base = base.flatMap(MergeBase.init(word:)) ?? .original
    let type = dtype.flatMap(Pipeline.ggufType)
    let source = try HubCache.place(of: source)
    let model = try model.map { try HubCache.place(of: $0) }
    switch format {
    case .peft: try Pipeline.exportAdapter(source, to: output)
    case .ggufLoRA:
      try Pipeline.exportGGUFAdapter(source, model: model, type: type ?? .f32, to: output)
    case .merged:
      let dtype = dtype.flatMap(NumberType.dtype) ?? .bfloat16
      try Pipeline.merge(model: model, adapter: source, base: base, dtype: dtype, to: output)
    case .bnb:
      try Pipeline.merge(
        model: model, adapter: source, base: .requantized,
        dtype: dtype.flatMap(NumberType.dtype) ?? .bfloat16, to: output)
    case .mergedGGUF:
      let notes = try Pipeline.exportGGUFModel(
        source, model: model, base: base, type: type ?? .f16, to: output)
      for note in notes { Console.error("warning: \(note)") }
    }
    Console.output(output)
  }
}
