// What merging an adapter costs, by the base that it is folded into.

import QLoRAData
import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRARecipe
import QLoRASystem
import QLoRATensor

extension Pipeline {
  /// Tokens of the sample rows that are compared: their logits of a whole vocabulary are kept.
  private static let sampleTokens = 1024

  /// Compares all ways of merging with the adapter as it was trained.
  ///
  /// - Parameters:
  ///   - model: nil takes the base that the adapter names.
  ///   - dtype: of the merged weights.
  ///   - samples: rows to predict; nil takes the validation data of the run that the adapter is of,
  ///     where there are any and the merged model fits into memory.
  /// - Throws: what opening the model, the adapter or `samples` throws.
  package static func compareMerges(
    model: String?, adapter: String, dtype: DType, samples: DataSource?,
    on machine: MachineMemory = MachineMemory()
  ) throws -> MergeReport {
    let folder = try AdapterFolder.open(adapter)
    if samples != nil {
      try folder.requireLanguageModel("sample rows are compared by their next tokens")
    }
    let source = try openBase(model, of: folder).withModules(of: folder.adapter)
    let comparison = MergeComparison(
      source: source, adapter: folder.adapter,
      load: folder.load ?? LoadOptions(quantization: nil),
      requantization: Requantization(source, folder.load), dtype: dtype,
      backend: try Backends.make())
    var report = try comparison.weights()
    if folder.labels != nil {
      report.note = "classes are compared by `qlora eval --format classification` on both models"
      return report
    }
    guard let data = samples ?? folder.validation else {
      report.note = "no sample rows are known: give some with --samples to compare predictions"
      return report
    }
    let bytes = try comparison.predictionBytes(tokens: sampleTokens)
    if samples == nil, let room = machine.availableBytes, bytes > room {
      report.note =
        "predictions were not compared: that takes \(ByteCount.atLeast(bytes)), free are "
        + "\(ByteCount.atLeast(room)); --samples FILE tries all the same"
      return report
    }
    let rows = try sampleRows(data, source)
    report.samples = data.path
    report.sampleRows = rows.count
    report.sampleTokens = rows.reduce(0) { $0 + $1.tokens.count }
    try comparison.addDivergences(to: &report, on: rows)
    return report
  }

  /// The first rows of a file, each a sequence of its own.
  private static func sampleRows(_ data: DataSource, _ source: ModelSource) throws -> [TokenBatch] {
    let text = try ModelText(source)
    let encoder = RowEncoder(
      tokenizer: text.tokenizer, template: text.template, maxTokens: sampleTokens,
      answerStart: text.answerStart)
    var report = EncodingReport()
    var rows: [EncodedRow] = []
    var room = sampleTokens
    try RowReader(path: data.path).forEachRow { row in
      guard room > 0 else { return }
      for encoded in try encoder.encode(row, format: data.format, report: &report)
      where encoded.tokens.count <= room {
        rows.append(encoded)
        room -= encoded.tokens.count
      }
    }
    guard !rows.isEmpty else {
      throw Diagnostic(.nothingToEvaluate, "no row has a token", at: .file(data.path))
    }
    return rows.map { MicroBatch([PackedSequence([$0])]).tokenBatch }
  }
}
