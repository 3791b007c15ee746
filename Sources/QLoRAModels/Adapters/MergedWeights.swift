// A model's weights with an adapter folded in, one tile at a time. The model itself is never in
// memory: at most one of its linears is, and only where it must be quantized first.

import QLoRADiagnostics
import QLoRAFormats
import QLoRATensor

/// Which base the low-rank correction is added to.
package enum MergeBase: String, Sendable, CaseIterable {
  /// The weights of the model's files.
  case original = "16bit"
  /// The weights as training saw them: quantized and decoded again.
  case decoded
  /// The weights of the files, and the sum is quantized. Decoded ones lie on the very grid that a
  /// sum is rounded to, so that most of a small correction would be rounded away.
  case requantized

  /// Reads the word of a command, and the words that earlier versions had.
  package init?(word: String) {
    switch word {
    case "original": self = .original
    case "quantized": self = .decoded
    default: self.init(rawValue: word)
    }
  }
}

/// Streams `W + scale · B·A` for adapted linears and every other tensor unchanged.
package struct MergedWeights {
  package let backend: any Backend
  private let source: ModelSource
  private let config: PEFTAdapterConfig?
  private let pairs: [String: PEFTAdapter.Pair]
  /// Quantizes as training did; nil where the correction goes to the original weights.
  private let loader: ModelLoader?

  /// - Parameters:
  ///   - adapter: nil for the weights as they are.
  ///   - base: of an adapted linear; `requantized` gives what will be quantized.
  ///   - options: how training held the model; only its quantization counts.
  /// - Throws: `adapterMismatch` for an adapter that was not made for this model.
  package init(
    _ source: ModelSource, _ adapter: PEFTAdapter?, base: MergeBase, options: LoadOptions,
    backend: any Backend
  ) throws {
    try adapter?.checkFit(source)
    self.source = source
    self.backend = backend
    config = adapter?.config
    pairs = Dictionary((adapter?.pairs ?? []).map { ($0.module, $0) }) { $1 }
    var exact = options
    exact.computeDType = .float32
    loader =
      base == .decoded && options.quantization != nil
      ? try ModelLoader(source, backend: backend, options: exact) : nil
  }

  package var names: [String] { source.weights.names }

  package func shape(of name: String) throws -> Shape { try source.weights.shape(of: name) }

  /// Whether the tensor is changed by the adapter.
  package func isAdapted(_ name: String) -> Bool { pairs[Self.module(of: name)] != nil }

  private static func module(of name: String) -> String {
    name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : ""
  }

  /// Floats per piece, where rows are not longer: 4 MiB, small beside any model and large beside a
  /// read's overhead.
  private static let pieceElements = 1 << 20

  /// Gives the tensor's float32 elements in pieces of whole rows.
  ///
  /// - Parameter rowMultiple: of the rows of each piece, where the tensor has so many.
  package func forEachPiece(
    of name: String, rowMultiple: Int = 1, _ consume: (Tensor) throws -> Void
  ) throws {
    let shape = try shape(of: name)
    let width = shape.rank > 1 ? shape.count / max(1, shape[0]) : shape.count
    let rowCount = width == 0 ? 0 : shape.count / width
    let fitting = Self.pieceElements / max(1, width) / rowMultiple
    let rowsPerPiece = max(1, fitting) * rowMultiple
    let module = Self.module(of: name)
    // What no adapter changes is as the file's format defines it.
    let stored = isAdapted(name) ? nil : try source.weights.quantizedMatrix(name)
    let held = try stored == nil ? heldWeight(module, name, shape) : nil
    let correction = try pairs[module].map { try self.correction(of: $0) }
    for start in stride(from: 0, to: rowCount, by: rowsPerPiece) {
      let rows = start..<min(rowCount, start + rowsPerPiece)
      let piece = backend.allocate([rows.count, width], .float32)
      if let held {
        backend.decode(held, rows: rows, into: piece)
        backend.synchronize()
      } else {
        let range = rows.lowerBound * width..<rows.upperBound * width
        try piece.withMutableElements(Float.self) {
          if let stored {
            BNB4Bit.decode(stored, range, into: $0)
          } else {
            try source.weights.readFloats(name, range: range, into: $0)
          }
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
    if let loader, source.config.isLinear(module), name.hasSuffix(".weight") {
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
      scale: try config?.scale(of: pair.module, rank: pair.rank) ?? 1)
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
