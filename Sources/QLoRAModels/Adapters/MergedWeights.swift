// A model's weights with an adapter folded in, one tile at a time. The model itself is never in
// memory: at most one of its linears is, and only where it must be quantized first.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// Which base the low-rank correction is added to.
package enum MergeBase: String, Sendable, CaseIterable {
  /// The weights of the model's files.
  case original
  /// The weights as training saw them: quantized and decoded again.
  case quantized
}

/// Streams `W + scale · B·A` for adapted linears and every other tensor unchanged.
package struct MergedWeights {
  package let backend: any Backend
  private let source: ModelSource
  private let config: PEFTAdapterConfig
  private let pairs: [String: PEFTAdapter.Pair]
  /// Quantizes as training did; nil where the correction goes to the original weights.
  private let loader: ModelLoader?

  /// - Parameter options: how training held the model; only its quantization counts.
  /// - Throws: `adapterMismatch` for an adapter that was not made for this model.
  package init(
    _ source: ModelSource, _ adapter: PEFTAdapter, base: MergeBase, options: LoadOptions,
    backend: any Backend
  ) throws {
    let suffix = ".weight"
    let linears = source.weights.names.filter { $0.hasSuffix(suffix) }
      .map { String($0.dropLast(suffix.count)) }.filter(LlamaBlock.isLinear)
    try adapter.checkFit(modules: linears) { module in
      guard LlamaBlock.isLinear(module), source.weights.contains(module + suffix) else {
        return nil
      }
      return try source.weights.shape(of: module + suffix)
    }
    self.source = source
    self.backend = backend
    config = adapter.config
    pairs = Dictionary(adapter.pairs.map { ($0.module, $0) }) { $1 }
    var exact = options
    exact.computeDType = .float32
    loader =
      base == .quantized && options.quantization != nil
      ? try ModelLoader(source, backend: backend, options: exact) : nil
  }

  package var names: [String] { source.weights.names }

  package func shape(of name: String) throws -> Shape { try source.weights.shape(of: name) }

  /// Floats per piece, where rows are not longer: 4 MiB, small beside any model and large beside a
  /// read's overhead.
  private static let pieceElements = 1 << 20

  /// Gives the tensor's float32 elements in pieces of whole rows.
  package func forEachPiece(of name: String, _ consume: (Tensor) throws -> Void) throws {
    let shape = try shape(of: name)
    let width = shape.rank > 1 ? shape.count / max(1, shape[0]) : shape.count
    let rowCount = width == 0 ? 0 : shape.count / width
    let rowsPerPiece = max(1, Self.pieceElements / max(1, width))
    let module = String(name.dropLast(".weight".count))
    let held = try heldWeight(module, name, shape)
    let correction = try pairs[module].map { try self.correction(of: $0) }
    for start in stride(from: 0, to: rowCount, by: rowsPerPiece) {
      let rows = start..<min(rowCount, start + rowsPerPiece)
      let piece = backend.allocate([rows.count, width], .float32)
      if let held {
        backend.decode(held, rows: rows, into: piece)
        backend.synchronize()
      } else {
        try piece.withMutableElements(Float.self) {
          try source.weights.readFloats(
            name, range: rows.lowerBound * width..<rows.upperBound * width, into: $0)
        }
      }
      if let correction { add(correction, rows: rows, to: piece) }
      try consume(piece)
    }
  }

  /// The weight as a whole where it cannot be read in pieces: it is quantized in the file, or it
  /// is to be quantized as training did.
  private func heldWeight(
    _ module: String, _ name: String, _ shape: Shape
  ) throws -> (any PreparedWeight)? {
    if let loader, LlamaBlock.isLinear(module), name.hasSuffix(".weight") {
      return try loader.weight(module, shape, quantized: true)
    }
    return try source.weights.quantizedMatrix(name).map { try backend.prepare($0) }
  }

  // MARK: The correction

  private struct Correction {
    /// `Aᵀ`, as the weight of a product with rows of B.
    let a: any PreparedWeight
    /// `[out, rank]`.
    let b: Tensor
    let scale: Float
  }

  private func correction(of pair: PEFTAdapter.Pair) throws -> Correction {
    let width = pair.a.shape[1]
    let builder = try backend.makeWeightBuilder(
      outFeatures: width, inFeatures: pair.rank, .dense(.float32))
    let a = pair.a.floats()
    let transposed = (0..<a.count).map { a[$0 % pair.rank * width + $0 / pair.rank] }
    try transposed.withUnsafeBufferPointer { try builder.append($0) }
    return Correction(
      a: try builder.finish(), b: Tensor(pair.b.floats(), shape: pair.b.shape),
      scale: try config.scale(of: pair.module, rank: pair.rank))
  }

  /// Adds `scale · (B[rows]·A)`, rounded in the order in which PEFT merges.
  private func add(_ correction: Correction, rows: Range<Int>, to piece: Tensor) {
    let change = backend.allocate(piece.shape, .float32)
    backend.linear(
      correction.b.rows(rows), [LinearTerm(weight: correction.a, output: change)])
    backend.scale(change, by: correction.scale)
    backend.add(piece, change, into: piece)
    backend.synchronize()
  }
}
