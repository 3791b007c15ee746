// `qlora merge`: an adapter folded into its base model, and what that costs.
import ArgumentParser
import QLoRAData
import QLoRAHub
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRATensor

struct MergeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "merge",
    abstract: "Folds an adapter into its base and writes a folder that transformers loads.",
    discussion: """
      Afterwards it states, for every choice of --base, how far the merged weights are from the \
      adapter on the base that it was trained on, and, on sample rows, the predictions.

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
      """
      16bit: fold into the base's own weights; decoded: into those that training saw; requantized: \
      as 16bit, and quantize the sum as training quantized the base, for bitsandbytes.
      """, valueName: "base"))
  var base = MergeBase.original.rawValue

  @Option(
    help: ArgumentHelp(
      "Rows whose predictions are compared. (default: the run's validation data)",
      valueName: "file"))
  var samples: String?

  @Option(help: "messages, sharegpt, alpaca, prompt-completion or text.")
  var samplesFormat = RowFormat.messages.rawValue

  @Flag(inversion: .prefixedNo, help: "Whether to state what merging costs.")
  var compare = true

  @OptionGroup var printing: OutputOptions

  func validate() throws {
    if NumberType.dtype(dtype) == nil {
      throw ValidationError("--dtype must be bf16, fp16 or fp32, found \"\(dtype)\".")
    }
    if MergeBase(word: base) == nil {
      throw ValidationError("--base must be 16bit, decoded or requantized, found \"\(base)\".")
    }
    if RowFormat(rawValue: samplesFormat) == nil {
      throw ValidationError("--samples-format \"\(samplesFormat)\" is not a row format.")
    }
    if samples != nil, !compare {
      throw ValidationError("--samples are for comparing, which --no-compare switches off.")
    }
  }

  func run() throws {
    let dtype = NumberType.dtype(dtype) ?? .bfloat16
    let base = MergeBase(word: base) ?? .original
    let model = try model.map { try HubCache.place(of: $0) }
    let adapter = try HubCache.place(of: adapter)
    try Pipeline.merge(model: model, adapter: adapter, base: base, dtype: dtype, to: output)
    let report =
      try compare
      ? Pipeline.compareMerges(
        model: model, adapter: adapter, dtype: dtype,
        samples: samples.map {
          DataSource(path: $0, format: RowFormat(rawValue: samplesFormat) ?? .messages)
        }) : nil
    if printing.json {
      return Console.output(json: json(base, report))
    }
    if let report { show(report, base) }
    Console.output(output)
  }

  private func show(_ report: MergeReport, _ chosen: MergeBase) {
    Console.error(
      "merged against the adapter on its base as trained (\(report.trainedBase)), "
        + "\(report.weights) weights of \(report.linears) linears:")
    let hasSamples = report.samples != nil
    let rows = report.lines.map { line in
      [
        line.base.rawValue + (line.base == chosen ? " (written)" : ""),
        Self.short(Double(line.maxWeightError)), Self.short(line.meanWeightError),
      ]
        + (line.divergence.map {
          [Self.short($0.mean), Self.short($0.max), Self.short(100 * $0.sameToken) + " %"]
        } ?? [])
    }
    let heading = ["base", "max |Δ|", "mean |Δ|"]
    let more = hasSamples ? ["mean KL", "max KL", "same token"] : []
    Console.error(Table.text(heading + more, rows))
    if let samples = report.samples {
      Console.error(
        "predictions at \(report.sampleTokens) positions of \(report.sampleRows) rows of "
          + samples)
    }
    if let note = report.note { Console.error(note) }
  }

  /// Three digits or so.
  private static func short(_ value: Double) -> String {
    guard value != 0, value.isFinite else { return "\(value)" }
    var (scale, digits) = (1.0, 0)
    while abs(value) * scale < 100, digits < 300 { (scale, digits) = (scale * 10, digits + 1) }
    return "\((value * scale).rounded() / scale)"
  }

  private func json(_ base: MergeBase, _ report: MergeReport?) -> JSONValue {
    let lines = (report?.lines ?? []).map { line -> (String, JSONValue) in
      let divergence = line.divergence
      return (
        line.base.rawValue,
        .dictionary([
          ("maxWeightError", .double(Double(line.maxWeightError))),
          ("meanWeightError", .double(line.meanWeightError)),
          ("meanKL", divergence.map { .double($0.mean) } ?? .null),
          ("maxKL", divergence.map { .double($0.max) } ?? .null),
          ("sameToken", divergence.map { .double($0.sameToken) } ?? .null),
        ])
      )
    }
    return .dictionary([
      ("output", .string(output)), ("base", .string(base.rawValue)), ("dtype", .string(dtype)),
      ("trainedBase", report.map { .string($0.trainedBase) } ?? .null),
      ("linears", report.map { .int($0.linears) } ?? .null),
      ("weights", report.map { .int($0.weights) } ?? .null),
      ("samples", report?.samples.map { .string($0) } ?? .null),
      ("sampleRows", report.map { .int($0.sampleRows) } ?? .null),
      ("sampleTokens", report.map { .int($0.sampleTokens) } ?? .null),
      ("errors", report == nil ? .null : .dictionary(lines)),
      ("note", report?.note.map { .string($0) } ?? .null),
    ])
  }
}

/// The short names of number types on the command line; the long ones are understood too.
enum NumberType {
  static func dtype(_ word: String) -> DType? {
    switch word {
    case "bf16", "bfloat16": .bfloat16
    case "fp16", "f16", "float16": .float16
    case "fp32", "f32", "float32": .float32
    default: nil
    }
  }
}
