// A model that tells classes apart, ready to run: a base with an adapter and its head, or a model
// that such an adapter was merged into.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package struct LoadedClassifier {
  let loaded: LoadedModel
  package let labels: LabelSet
  private let encoder: RowEncoder

  /// Longer than most models have positions for; longer texts are cut.
  static let maxTokens = 8192
  /// Tokens that are looked at in one forward pass.
  static let tokensPerPass = 2048

  private init(_ loaded: LoadedModel, _ labels: [String]) {
    self.loaded = loaded
    self.labels = LabelSet(labels)
    encoder = RowEncoder(
      tokenizer: loaded.text.tokenizer, template: nil, maxTokens: Self.maxTokens,
      classes: ClassEncoding(labels: self.labels, positionLimit: loaded.text.positionLimit))
  }

  /// - Throws: `headMissing` for a model and an adapter without a head, and what loading throws.
  package static func load(
    _ base: BaseOptions, progress: @escaping (Double) -> Void = { _ in }
  ) throws -> LoadedClassifier {
    let adapter = try base.adapter.map(AdapterFolder.open)
    guard let labels = try adapter.map(\.labels) ?? storedLabels(base.model) else {
      throw Diagnostic(
        .headMissing, "nothing here says which classes there are",
        at: .file(base.adapter ?? base.model),
        remedy: "give an adapter that was trained with \"task\": \"classification\"")
    }
    var options = try Pipeline.heldOptions(base, trained: adapter?.load)
    options.classes =
      adapter?.adapter.classOptions(count: labels.count) ?? ClassOptions(count: labels.count)
    let loaded = try LoadedModel.load(
      try base.request(options), cache: base.cache,
      adapterBytes: adapter?.adapter.memoryBytes ?? 0, progress: progress)
    if let adapter { try loaded.model.addAdapters(adapter.adapter) }
    return LoadedClassifier(loaded, labels)
  }

  /// The classes that a model's own configuration names; nil where it has no head for classes.
  private static func storedLabels(_ path: String) throws -> [String]? {
    let source = try ModelSource.open(path)
    guard let outputs = source.config.family.classifier?.layers.last,
      source.weights.contains(outputs + ".weight")
    else { return nil }
    let count = try source.weights.shape(of: outputs + ".weight")[0]
    guard case .folder(let folder) = source.origin else { return nil }
    let json = try ModelConfig.json(configPath: folder + "/config.json")
    return (0..<count).map { json["id2label"]?[String($0)]?.stringValue ?? "LABEL_\($0)" }
  }

  /// One text as a row.
  func row(_ text: String, _ pair: String?) throws -> EncodedRow {
    let row = encoder.encode(text, pair).row
    guard !row.tokens.isEmpty else {
      throw Diagnostic(.emptyPrompt, "there is nothing to classify: the text is empty")
    }
    return row
  }

  /// A row with its class.
  func row(_ row: DataRow, report: inout EncodingReport) throws -> EncodedRow? {
    try encoder.encode(row, format: .classification, report: &report).first
  }

  /// Probabilities of the classes for each row.
  func probabilities(_ rows: [EncodedRow]) throws -> [[Double]] {
    var found: [[Double]] = []
    for batch in Self.batches(rows) {
      let sequences = batch.map { PackedSequence([$0]) }
      let logits = try loaded.model.classLogits(MicroBatch(sequences).tokenBatch)
      try loaded.model.backend.checkHealth()
      let (values, count) = (logits.floats(), labels.names.count)
      for start in stride(from: 0, to: values.count, by: count) {
        found.append(Self.softmax(values[start..<start + count].map(Double.init)))
      }
    }
    return found
  }

  private static func softmax(_ logits: [Double]) -> [Double] {
    let top = logits.max() ?? 0
    let powers = logits.map { exp($0 - top) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }

  /// Runs of rows that together fill one forward pass.
  private static func batches(_ rows: [EncodedRow]) -> [[EncodedRow]] {
    var batches: [[EncodedRow]] = []
    var tokens = tokensPerPass
    for row in rows {
      if tokens + row.tokens.count > tokensPerPass {
        batches.append([])
        tokens = 0
      }
      batches[batches.count - 1].append(row)
      tokens += row.tokens.count
    }
    return batches
  }
}
