// What merging costs: merged weights of every kind against the adapter as it was trained, weight by
// weight and in what the model predicts.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

/// What a merge costs against the adapter on the base that it was trained on.
package struct MergeReport: Sendable {
  package struct Line: Sendable {
    package var base: MergeBase
    /// `|merged − trained|` over all weights of linears.
    package var maxWeightError: Float = 0
    package var meanWeightError = 0.0
    /// nil without sample rows.
    package var divergence: Divergence?
  }

  /// How training held the base.
  package var trainedBase: String
  package var linears: Int
  package var weights: Int
  package var lines: [Line]
  package var samples: String?
  package var sampleRows = 0
  package var sampleTokens = 0
  /// Why predictions were not compared.
  package var note: String?
}

/// How far predictions are from the trained model's, over all positions of the sample rows.
package struct Divergence: Sendable {
  /// Nats of `KL(trained ‖ merged)`.
  package var mean = 0.0
  package var max = 0.0
  /// Of positions, 0…1, whose likeliest token is the same.
  package var sameToken = 0.0
}

struct MergeComparison {
  let source: ModelSource
  let adapter: PEFTAdapter
  let load: LoadOptions
  let requantization: Requantization
  /// The type that merged weights are rounded to.
  let dtype: DType
  let backend: any Backend

  private static let pieceRows = 256

  private func merged(_ base: MergeBase) throws -> MergedWeights {
    try MergedWeights(source, adapter, base: base, options: load, backend: backend)
  }

  private var linears: [String] {
    get throws {
      let suffix = ".weight"
      return source.weights.names.filter {
        $0.hasSuffix(suffix) && source.config.isLinear(String($0.dropLast(suffix.count)))
      }
    }
  }

  // MARK: Weights

  /// Compares every linear; one of them is in memory at a time.
  func weights() throws -> MergeReport {
    let (original, trained) = (try merged(.original), try merged(.decoded))
    var sums = MergeBase.allCases.map { WeightErrors(base: $0) }
    var count = 0
    let names = try linears
    for name in names {
      let shape = try source.weights.shape(of: name)
      count += shape.count
      let whole = try self.whole(name, shape, trained)
      for index in sums.indices {
        switch sums[index].base {
        case .original:
          let other = try self.whole(name, shape, original)
          sums[index].add(other, whole, dtype)
        case .decoded: sums[index].add(whole, whole, dtype)
        case .requantized:
          let quantization = requantization.quantization(of: name, in: source)
          let weight = try original.prepared(name, quantization.storage, dtype)
          let other = backend.allocate(shape, .float32)
          backend.decode(weight, rows: 0..<shape[0], into: other)
          backend.synchronize()
          sums[index].add(other, whole, .float32)
        }
      }
    }
    return MergeReport(
      trainedBase: load.quantization?.description ?? "not quantized", linears: names.count,
      weights: count,
      lines: sums.map {
        .init(
          base: $0.base, maxWeightError: $0.largest,
          meanWeightError: $0.sum / Double(max(1, count)))
      })
  }

  private func whole(_ name: String, _ shape: Shape, _ weights: MergedWeights) throws -> Tensor {
    let result = backend.allocate(shape, .float32)
    var row = 0
    try weights.forEachPiece(of: name) { piece in
      piece.withBytes { bytes in
        result.rows(row..<row + piece.shape[0]).withMutableBytes { $0.copyMemory(from: bytes) }
      }
      row += piece.shape[0]
    }
    return result
  }

  private struct WeightErrors {
    let base: MergeBase
    var largest: Float = 0
    var sum = 0.0

    /// - Parameter dtype: what the merged weights are rounded to.
    mutating func add(_ merged: Tensor, _ trained: Tensor, _ dtype: DType) {
      merged.withElements(Float.self) { merged in
        trained.withElements(Float.self) { trained in
          for index in merged.indices {
            let difference = abs(dtype.rounded(merged[index]) - trained[index])
            largest = max(largest, difference)
            sum += Double(difference)
          }
        }
      }
    }
  }

  // MARK: Predictions

  /// Bytes that the largest of the compared models takes with the logits of the sample rows.
  func predictionBytes(tokens: Int) throws -> Int {
    let weights = try linears.reduce(0) { try $0 + source.weights.shape(of: $1).count }
    let config = source.config
    let tables = config.vocabularySize * config.hidden * (config.tiesEmbeddings ? 1 : 2)
    return weights * dtype.byteSize + (tables + 2 * tokens * config.vocabularySize) * 4
  }

  /// Adds to a report what the merged models predict on token sequences. One model is in memory at
  /// a time, with float32 activations.
  func addDivergences(to report: inout MergeReport, on rows: [TokenBatch]) throws {
    let expected = try trainedLogits(rows)
    for index in report.lines.indices {
      let model = try mergedModel(report.lines[index].base)
      var sum = DivergenceSum()
      for (row, logits) in zip(rows, expected) { sum.add(logits, model.logits(row)) }
      try model.checkWeights()
      report.lines[index].divergence = sum.divergence
    }
  }

  private func trainedLogits(_ rows: [TokenBatch]) throws -> [Tensor] {
    var options = load
    options.computeDType = .float32
    let model = try ModelLoader(source, backend: backend, options: options).load()
    try model.addAdapters(adapter)
    let logits = rows.map(model.logits)
    try model.checkWeights()
    return logits
  }

  private func mergedModel(_ base: MergeBase) throws -> DecoderModel {
    let weights = try merged(base)
    var prepared: [String: any PreparedWeight] = [:]
    let quantized = try LinearModules(
      modelType: source.config.family.rawValue, isDiffusers: false, names: source.weights.names,
      skip: requantization.skip)
    for name in try linears {
      let shape = try source.weights.shape(of: name)
      let storage =
        try base == .requantized && quantized.isQuantized(name, shape)
        ? requantization.quantization(of: name, in: source).storage : .dense(dtype)
      prepared[String(name.dropLast(".weight".count))] = try weights.prepared(name, storage, dtype)
    }
    return try ModelLoader(
      source, backend: backend, options: LoadOptions(quantization: nil, computeDType: .float32),
      prepared: prepared
    ).load()
  }
}
