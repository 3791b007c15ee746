// `qlora-bench step`: training steps of a whole model, one JSON object.
import ArgumentParser
import QLoRAPipeline

struct StepBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "step",
    abstract: "Training steps on the same tokens each, optimizer included, at learning rate 0.",
    discussion: """
      Tokens are random and all labelled, unless --batches names a file with lines of
      `qlora preview --json`.
      """)

  @OptionGroup var base: MeasuredModelOptions

  @Option(help: "Packed sequences per step.")
  var sequences = 4

  @Option(help: "Tokens per sequence.")
  var length = 512

  @Option(help: "Lines of `qlora preview --json` that together are the step.")
  var batches: String?

  @Option(help: "Rank of the adapters on all linears.")
  var rank = 16

  @Option(help: "A PEFT adapter to start from instead of a fresh one.")
  var adapter: String?

  @Option(help: "For backward: none recomputes nothing, full all, host keeps outside, or 512MiB.")
  var activationMemory = "none"

  @Option(help: "adamw, adamw8bit, or either with paged before it.")
  var optimizer = "adamw"

  @Flag(help: "The same as --activation-memory full.")
  var checkpointing = false

  @Option(help: "Steps before those that count.")
  var warmup = 1

  @Option(help: "Steps that count; the fastest and the median are given.")
  var steps = 4

  @Flag(help: "Say what takes the GPU's time in each step, which is a little slower then.")
  var profile = false

  func validate() throws {
    guard min(sequences, rank, steps) > 0, length > 1, warmup >= 0 else {
      throw ValidationError("sizes must be positive, and --length at least 2")
    }
    let optimizers = ["adamw", "adamw8bit", "pagedadamw", "pagedadamw8bit"]
    guard optimizers.contains(optimizer) else {
      throw ValidationError("--optimizer is one of \(optimizers.joined(separator: ", "))")
    }
  }

  func run() throws {
    let budget = checkpointing ? .least : try Pipeline.activationBudget(activationMemory)
    var workload = StepWorkload(
      sequences: sequences, length: length, batchFile: batches, rank: rank, adapter: adapter,
      activationMemory: budget, warmup: warmup, steps: steps)
    workload.usesAdamW(isBlockwise: optimizer.hasSuffix("8bit"), isPaged: optimizer.hasPrefix("p"))
    let request = try base.request()
    let timing = profile ? try DeviceProfile(request) : nil
    var times: [(String, String)] = []
    let measurement = try Pipeline.measureSteps(
      request, workload, shape: base.shape, whenWarm: { timing?.begin() },
      whenDone: { [steps] in
        if let timing { times = [timing.end(turns: steps)] }
      })
    let measured = measurement.steps
    guard let last = measured.last,
      measured.allSatisfy({ $0.loss.isFinite && $0.gradientNorm > 0 })
    else { throw ValidationError("no training happened") }
    let rates = measured.map(\.tokensPerSecond)
    let cost = measurement.cost
    let operations = cost.operationsPerToken(recomputing: checkpointing)
    func list(_ values: [Double]) -> String { "\(values)" }
    base.show(
      base.fields(measurement.load) + [
        ("checkpointing", "\(checkpointing)"), ("tokens", "\(last.tokens)"),
        ("labelledTokens", "\(last.labelledTokens)"), ("headWeights", "\(cost.headWeights)"),
        ("adapterParameters", "\(cost.adapterParameters)"),
        ("attentionPerToken", "\(cost.attention)"),
        ("operationsPerToken", "\(operations)"),
        ("tokensPerSecond", "\(rates.max() ?? 0)"),
        ("medianTokensPerSecond", "\(median(rates))"),
        ("stepSeconds", list(rates.map { Double(last.tokens) / $0 })),
        ("loadedMemoryBytes", "\(measurement.load.peakMemoryBytes)"),
        ("peakMemoryBytes", "\(last.peakMemoryBytes)"),
        ("predictedPeakMemoryBytes", "\(measurement.memory.peakBytes)"),
        ("predictedMemoryBytes", parts(measurement.memory)),
        ("activationMemory", "\"\(checkpointing ? "full" : activationMemory)\""),
        ("activationBytes", "\(measurement.memory.step.activationBytes)"),
        ("workspaceBytes", "\(measurement.memory.step.workspaceBytes)"),
        ("optimizer", "\"\(optimizer)\""),
      ] + gpu(measurement, operationsPerSecond: operations * (rates.max() ?? 0))
        + disk(measurement) + [
        ("losses", list(measured.map(\.loss))),
        ("gradientNorms", list(measured.map(\.gradientNorm))),
      ] + times)
  }

  /// What adds up to the predicted peak.
  private func parts(_ memory: MemoryForecast) -> String {
    "{" + memory.parts.map { "\"\($0.key)\": \($0.bytes)" }.joined(separator: ", ") + "}"
  }

  /// What the steps reach of the GPU, beside what a large product does.
  private func gpu(
    _ measurement: StepMeasurement, operationsPerSecond: Double
  ) -> [(String, String)] {
    guard let bytes = measurement.deviceMemoryBytes else { return [] }
    let fields = [
      ("deviceMemoryBytes", "\(bytes)"),
      ("stepTeraflops", "\(rounded(operationsPerSecond / 1e12))"),
    ]
    guard let peak = measurement.peak else { return fields }
    return fields + [
      ("peakProduct", "[\(peak.tokens), \(peak.outFeatures), \(peak.inFeatures)]"),
      ("peakTeraflops", "\(rounded(peak.operationsPerSecond / 1e12))"),
      ("shareOfPeak", "\(rounded(operationsPerSecond / peak.operationsPerSecond))"),
    ]
  }

  /// Of all steps, those that warmed up included.
  private func disk(_ measurement: StepMeasurement) -> [(String, String)] {
    let (placement, reading) = (measurement.placement, measurement.reading)
    let layers = placement.layers(on: LayerPlacement.disk)
    if layers.isEmpty { return [] }
    let seconds = measurement.allStepSeconds
    return [
      ("layersOnDisk", "\(layers.count)"), ("layers", "\(placement.devices.count)"),
      ("diskBytes", "\(placement.diskBytes)"), ("readBytes", "\(reading.bytes)"),
      ("readSeconds", "\(rounded(reading.readSeconds))"),
      ("waitedSeconds", "\(rounded(reading.waitedSeconds))"),
      ("computeBoundShare", "\(rounded(1 - reading.waitedSeconds / seconds))"),
      (
        "hiddenShareOfReads",
        "\(rounded(1 - reading.waitedSeconds / max(reading.readSeconds, 1e-9)))"
      ),
    ]
  }
}
