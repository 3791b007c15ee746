// `qlora quantize` and `qlora dequantize`: folders in the formats of bitsandbytes and back.
import ArgumentParser
import QLoRAHub
import QLoRAPipeline
import QLoRATensor

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Writes a model with its linears in 4 or 8 bits, as bitsandbytes loads it.",
    discussion: """
      Example:
        qlora quantize my-model --output my-model-nf4 --compute-dtype bfloat16
        qlora quantize my-model --output my-model-int8 --type int8 --threshold 10
        qlora quantize flux/transformer --output flux-nf4/transformer --skip 'proj_out'
      """)

  @Argument(help: "The model: a folder with config.json and safetensors, or a GGUF file.")
  var model: String

  @Option(help: ArgumentHelp("The folder to write; it must not exist.", valueName: "dir"))
  var output: String

  @Option(help: "nf4, fp4 or int8.")
  var type = FourBitType.nf4.rawValue

  @Option(
    parsing: .unconditional,
    help: "Weights that share a scale, in 4 bits: 32, 64, 128 … 4096. (default: 64)")
  var blocksize: Int?

  @Flag(help: "Keeps the scales in fp32 instead of quantizing them to 8 bits.")
  var noDoubleQuant = false

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "With int8, the magnitude from which activations are outliers, whose columns stay in higher "
        + "precision; 0 for none. (default: 6.0)",
      valueName: "magnitude"))
  var threshold: Float?

  @Option(
    help: ArgumentHelp(
      "Modules that stay as they are, by name, suffix or regular expression; may be repeated.",
      valueName: "pattern"))
  var skip: [String] = []

  @Option(help: "What the library is to compute in: float32, bfloat16 or float16.")
  var computeDtype = "float32"

  @Option(help: "Number type of what is not quantized: keep, bf16, fp16 or fp32.")
  var dtype = "keep"

  func validate() throws {
    if WeightQuantization(word: type) == nil {
      throw ValidationError("--type must be nf4, fp4 or int8, found \"\(type)\".")
    }
    if let threshold {
      if FourBitType(rawValue: type) != nil {
        throw ValidationError("--threshold is for --type int8 only.")
      }
      if !(threshold >= 0 && threshold.isFinite) {
        throw ValidationError("--threshold must be 0 or more, found \(threshold).")
      }
    }
    if FourBitType(rawValue: type) == nil, blocksize != nil || noDoubleQuant {
      throw ValidationError(
        "\(noDoubleQuant ? "--no-double-quant" : "--blocksize") is for --type nf4 and fp4 only.")
    }
    if let blocksize, !QuantizationSpec.validBlockSizes.contains(blocksize) {
      throw ValidationError("--blocksize must be 32, 64, 128 … 4096, found \(blocksize).")
    }
    if NumberType.dtype(computeDtype) == nil {
      throw ValidationError(
        "--compute-dtype must be float32, bfloat16 or float16, found \"\(computeDtype)\".")
    }
    if dtype != "keep", NumberType.dtype(dtype) == nil {
      throw ValidationError("--dtype must be keep, bf16, fp16 or fp32, found \"\(dtype)\".")
    }
  }

  func run() throws {
    var options = QuantizationOptions()
    options.quantization =
      FourBitType(rawValue: type).map { type in
        .fourBit(
          QuantizationSpec(
            type: type, blockSize: blocksize ?? QuantizationSpec().blockSize,
            doubleQuantized: !noDoubleQuant))
      } ?? .int8(Int8Spec(threshold: threshold ?? Int8Spec.standardThreshold))
    options.skip = skip
    options.computeDType = NumberType.dtype(computeDtype) ?? .float32
    options.dtype = NumberType.dtype(dtype)
    let model = try HubCache.place(of: model)
    for warning in try Pipeline.quantize(model: model, options, to: output) {
      Console.error("warning: \(warning)")
    }
    Console.output(output)
  }
}

struct DequantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dequantize",
    abstract: "Writes a quantized folder as plain safetensors again.",
    discussion: """
      Example:
        qlora dequantize my-model-nf4 --output my-model-plain --dtype fp32
      """)

  @Argument(help: "The quantized model's folder.")
  var folder: String

  @Option(help: ArgumentHelp("The folder to write; it must not exist.", valueName: "dir"))
  var output: String

  @Option(help: "Number type of the weights: bf16, fp16 or fp32.")
  var dtype = "bf16"

  func validate() throws {
    if NumberType.dtype(dtype) == nil {
      throw ValidationError("--dtype must be bf16, fp16 or fp32, found \"\(dtype)\".")
    }
  }

  func run() throws {
    let folder = try HubCache.place(of: folder)
    try Pipeline.dequantize(folder, dtype: NumberType.dtype(dtype) ?? .bfloat16, to: output)
    Console.output(output)
  }
}
