// The arguments that every command with a model, and perhaps an adapter, takes.
import ArgumentParser
import QLoRAHub
import QLoRAPipeline

struct BaseModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The base model: a folder with config.json and safetensors, a GGUF file, or ORG/NAME of the "
        + "hub, once downloaded."))
  var model: String

  @Option(help: "A PEFT adapter folder to apply.")
  var adapter: String?

  @OptionGroup var held: HeldModelOptions

  func values() throws -> BaseOptions { try held.values(model: model, adapter: adapter) }
}

/// How a model is held in memory and computed with.
struct HeldModelOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "nf4, fp4, int8 or none; as the adapter was trained if not given, none without an adapter.",
      valueName: "type"))
  var quantization: String?

  @Option(
    help: ArgumentHelp(
      "bfloat16, float16 or float32; as the adapter was trained if not given, else float32.",
      valueName: "type"))
  var computeDtype: String?

  @Option(
    help: ArgumentHelp(
      "cpu, cuda, or auto: a GPU that has room for the model, else the processor.",
      valueName: "device"))
  var device = "auto"

  @Option(parsing: .unconditional, help: "Threads to compute with; 0 means all cores.")
  var threads = 0

  @Option(
    help: ArgumentHelp(
      "Memory for the process, such as 3GiB; layers that do not fit wait on the disk. What the "
        + "machine has if not given.", valueName: "size"))
  var maxMemory: String?

  func validate() throws {
    try HeldModelOptions.check(
      quantization: quantization, computeDtype: computeDtype, threads: threads)
    if !["auto", "cpu", "cuda"].contains(device) {
      throw ValidationError("--device must be auto, cpu or cuda, found \"\(device)\".")
    }
    if let maxMemory, Pipeline.byteCount(maxMemory) == nil {
      throw ValidationError("--max-memory must be a size such as 3GiB, found \"\(maxMemory)\".")
    }
  }

  /// What every command that quantizes and computes allows.
  static func check(quantization: String?, computeDtype: String?, threads: Int) throws {
    if let quantization, !["nf4", "fp4", "int8", "none"].contains(quantization) {
      throw ValidationError(
        "--quantization must be nf4, fp4, int8 or none, found \"\(quantization)\".")
    }
    if let computeDtype, !["bfloat16", "float16", "float32"].contains(computeDtype) {
      throw ValidationError(
        "--compute-dtype must be bfloat16, float16 or float32, found \"\(computeDtype)\".")
    }
    if threads < 0 { throw ValidationError("--threads must not be negative.") }
  }

  func values(model: String, adapter: String? = nil) throws -> BaseOptions {
    BaseOptions(
      model: try HubCache.place(of: model), adapter: try adapter.map { try HubCache.place(of: $0) },
      quantization: quantization, computeDType: computeDtype,
      threads: threads, maxMemory: maxMemory.flatMap(Pipeline.byteCount),
      cache: try BaseCache.standard { Console.error("warning: \($0)") }, device: device,
      note: { Console.error($0) })
  }
}
