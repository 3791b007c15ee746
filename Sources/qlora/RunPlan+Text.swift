// A plan as a person reads it, and as JSON.
import QLoRAJSON
import QLoRAModels
import QLoRAPipeline
import QLoRAReport

extension RunPlan {
  var jsonValue: JSONValue {
    .dictionary([
      ("recipe", recipe.jsonValue), ("device", .string(device)),
      ("deviceChoice", deviceChoice.map { .string($0) } ?? .null),
      ("trainableParameters", .int(trainableParameters)), ("steps", .int(stepCount)),
      ("rows", .int(report.encodedRows)), ("tokens", .int(report.tokens)),
      ("labelledTokens", .int(report.labelledTokens)),
      ("largestMicroBatchTokens", .int(largestTokens)), ("memoryBytes", memoryJSON),
      ("blocks", .list(policies.map { .dictionary([
        ("keep", .string($0.policy.rawValue)), ("count", .int($0.blocks)),
      ]) })),
      ("layers", .dictionary([
        ("memory", .list(placement.layers(on: LayerPlacement.memory).map { .int($0) })),
        ("disk", .list(placement.layers(on: LayerPlacement.disk).map { .int($0) })),
        ("diskBytes", .int(placement.diskBytes)),
      ])),
      ("operationsPerToken", .double(operationsPerToken)),
      ("recomputedPercent", .double(recomputedFraction * 100)),
      ("diskBytes", .dictionary([
        ("adapter", .int(disk.adapterBytes)), ("checkpoint", .int(disk.checkpointBytes)),
        ("checkpoints", .int(disk.checkpoints)), ("layers", .int(disk.layerBytes)),
        ("optimizer", .int(disk.pagedBytes)), ("total", .int(disk.totalBytes)),
        ("available", disk.availableBytes.map { .int($0) } ?? .null),
      ])), ("fits", .bool(fits)),
    ])
  }

  private var memoryJSON: JSONValue {
    .dictionary(
      memory.parts.map { ($0.key, .int($0.bytes)) } + [
        ("outside", .int(memory.step.outsideBytes)),
        ("logits", .int(memory.step.lossBytes)), ("loadingPeak", .int(memory.loadingPeakBytes)),
        ("evaluationPeak", evaluates ? .int(memory.evaluationPeakBytes) : .null),
        ("peak", .int(memory.peakBytes)),
        ("limit", memoryLimitBytes.map { .int($0) } ?? .null),
      ])
  }

  private var evaluates: Bool { memory.evaluationBytes > 0 }

  var text: String {
    let training = recipe.recipe.training
    let kept = policies.map { "\($0.blocks) keep \($0.policy.words)" }.joined(separator: ", ")
    let outsideBytes = memory.step.outsideBytes
    let outside = outsideBytes > 0 ? ": \(size(outsideBytes)) of the host's" : ""
    let facts = [
      ("model", recipe.recipe.model.path), ("device", device),
      ("trainable", "\(trainableParameters) parameters"),
      ("rows", "\(report.encodedRows) with \(report.tokens) tokens, "
        + "\(report.labelledTokens) labelled"),
      ("steps", "\(stepCount) of \(training.gradientAccumulation) × \(training.batchSize) "
        + "sequences, at most \(largestTokens) tokens at once"),
      ("blocks", kept + outside), ("layers", placement.words),
      ("work", "\(decimal(operationsPerToken / 1e9)) billion operations per token; recomputation "
        + "adds \(decimal(recomputedFraction * 100)) %"),
      ("disk", "\(size(disk.totalBytes)): adapter \(size(disk.adapterBytes)), "
        + "\(disk.checkpoints) checkpoints of \(size(disk.checkpointBytes))"
        + (disk.layerBytes > 0 ? ", layers \(size(disk.layerBytes))" : "")
        + (disk.pagedBytes > 0 ? ", optimizer \(size(disk.pagedBytes))" : "")),
    ]
    let width = facts.map(\.0.count).max() ?? 0
    let peaks = [
      ["peak while training", size(memory.trainingPeakBytes)],
      ["peak while loading", size(memory.loadingPeakBytes)],
      ["peak while evaluating", evaluates ? size(memory.evaluationPeakBytes) : "none"],
      ["this machine has", memoryLimitBytes.map(size) ?? "unknown"],
    ]
    return facts.map { "\(Table.pad($0.0, width))  \($0.1)" }.joined(separator: "\n") + "\n\n"
      + Table.text(["memory", ""], memory.parts.map { [$0.name, size($0.bytes)] } + peaks)
  }

  private func size(_ bytes: Int) -> String { ProgressText.size(bytes) }

  private func decimal(_ value: Double) -> String { ProgressText.decimal(value, 1) }
}

extension LayerPlacement {
  /// Such as `0–29 in memory, 30–39 on disk (1205 MiB)`.
  fileprivate var words: String {
    let (memory, disk) = (layers(on: Self.memory), layers(on: Self.disk))
    if disk.isEmpty { return "all in memory" }
    let onDisk = "\(span(disk)) on disk (\(ProgressText.size(diskBytes)))"
    return memory.isEmpty ? onDisk : "\(span(memory)) in memory, \(onDisk)"
  }

  /// Neighbours stay together, so the ends say it all.
  private func span(_ layers: [Int]) -> String {
    guard let first = layers.first, let last = layers.last, first < last else {
      return layers.map(String.init).joined()
    }
    return "\(first)–\(last)"
  }
}

extension ActivationPolicy {
  /// Ends the sentence "so many blocks keep …".
  fileprivate var words: String {
    switch self {
    case .everything: "everything"
    case .attention: "all but gate and up"
    case .residuals: "the residual stream twice"
    case .input: "their input alone"
    case .outside: "their input alone, in the host's memory"
    }
  }
}
