// `qlora-bench load` and `decode`: whole models, one JSON object per measurement.
import ArgumentParser
import QLoRAModels
import QLoRAPipeline
import QLoRATensor

/// Which model and how it is held.
struct MeasuredModelOptions: ParsableArguments {
  @Option(help: "A model folder or a GGUF file.")
  var model: String?

  @Option(help: "Instead of --model: the shape of a model with random weights.")
  var shape: ModelShape?

  @Option(help: "nf4, fp4 or none; 4-bit types are doubly quantized, in blocks of 64.")
  var quantization = "nf4"

  @Option(help: "float32, bfloat16, float16 or int16.")
  var computeDtype = "bfloat16"

  @Option(help: "Threads; 0 means all cores.")
  var threads = 0

  @Option(help: "cpu, cuda, or auto for a GPU where there is one.")
  var device = "cpu"

  @Option(
    help: ArgumentHelp(
      "Memory for the process, such as 4GiB; layers that do not fit wait on the disk. With a GPU "
        + "what `step` takes of its memory; weights that do not fit wait in the host's."))
  var maxMemory: String?

  @Flag(help: "Prints JSON instead of text.")
  var json = false

  func validate() throws {
    guard maxMemory == nil || maxMemory.flatMap(Pipeline.byteCount) != nil else {
      throw ValidationError("--max-memory is a size such as 4GiB")
    }
    guard (model == nil) != (shape == nil) else {
      throw ValidationError("either --model or --shape is needed")
    }
    guard quantization == "none" || WeightQuantization(word: quantization) != nil else {
      throw ValidationError("--quantization is nf4, fp4, int8 or none")
    }
    guard ["cpu", "cuda", "auto"].contains(device) else {
      throw ValidationError("--device is cpu, cuda or auto")
    }
    guard ["float32", "bfloat16", "float16", "int16"].contains(computeDtype) else {
      throw ValidationError("--compute-dtype is float32, bfloat16, float16 or int16")
    }
  }

  func request() throws -> ModelRequest {
    let device = try ComputeDevice.choose(device, usesInt16: computeDtype == "int16")
    return ModelRequest(
      path: model ?? "",
      load: LoadOptions(
        quantization: WeightQuantization(word: quantization),
        computeDType: DType(rawValue: computeDtype).flatMap { $0.isFloatingPoint ? $0 : nil }
          ?? .float32),
      threads: threads, usesInt16: computeDtype == "int16",
      maxMemory: maxMemory.flatMap(Pipeline.byteCount), device: device)
  }

  /// What every record says about its circumstances.
  func fields(_ load: LoadMeasurement) -> [(String, String)] {
    [
      ("device", "\"\(load.device)\""), ("quantization", "\"\(quantization)\""),
      ("computeDType", "\"\(computeDtype)\""), ("weightBytes", "\(load.weightBytes)"),
      ("loadSeconds", "\(load.seconds)"), ("linearParameters", "\(load.linearParameters)"),
    ]
  }

  func show(_ fields: [(name: String, value: String)]) {
    if json {
      print("{" + fields.map { "\"\($0.name)\": \($0.value)" }.joined(separator: ", ") + "}")
    } else {
      for field in fields { print("\(field.name): \(field.value)") }
    }
  }
}

extension ModelShape: ExpressibleByArgument {}

struct LoadBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load", abstract: "Time and peak memory of loading, quantizing on the way.")

  @OptionGroup var base: MeasuredModelOptions

  func run() throws {
    let load = try Pipeline.measureLoading(base.request(), shape: base.shape)
    // Weights are read in 16 bits where the file has them so; the rate counts what comes out.
    let floats = Double(load.linearParameters) * 4
    base.show(
      base.fields(load) + [
        ("float32GigabytesPerSecond", "\(floats / load.seconds / 1e9)"),
        ("peakMemoryBytes", "\(load.peakMemoryBytes)"),
      ])
  }
}

struct DecodeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode", abstract: "Greedy tokens one at a time, after a random prompt.")

  @OptionGroup var base: MeasuredModelOptions

  @Option(help: "Tokens of the prompt, whose time is not counted.")
  var prompt = 32

  @Option(help: "Tokens to generate.")
  var count = 64

  @Option(help: "Rounds; the fastest one counts, the median is given too.")
  var rounds = 3

  @Flag(help: "Ask the device for every operation of every token, and record no step.")
  var plain = false

  @Flag(help: "Say what takes the GPU's time for each token; the last round is a little slower.")
  var profile = false

  func run() throws {
    guard min(prompt, count, rounds) > 0 else { throw ValidationError("sizes must be positive") }
    let request = try base.request()
    let timing = profile ? try DeviceProfile(request) : nil
    let (load, rates, isRecorded) = try Pipeline.measureDecoding(
      request, prompt: prompt, count: count, rounds: rounds, recordsSteps: !plain,
      shape: base.shape, whenWarm: { timing?.begin() })
    let times = timing.map { [$0.end(turns: count)] } ?? []
    base.show(
      base.fields(load) + [
        ("prompt", "\(prompt)"), ("tokens", "\(count)"),
        ("tokensPerSecond", "\(rates.max() ?? 0)"),
        ("medianTokensPerSecond", "\(median(rates))"), ("recordedStep", "\(isRecorded)"),
      ] + times)
  }
}
