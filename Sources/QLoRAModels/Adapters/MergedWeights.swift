// A model's weights with its adapters folded in, one tile at a time.

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
  let model: LlamaModel
  let source: ModelSource
  let base: MergeBase
  private let adapted: [String: AdaptedLinear]

  package init(_ model: LlamaModel, source: ModelSource, base: MergeBase) {
    self.model = model
    self.source = source
    self.base = base
    adapted = Dictionary(
      model.linears.filter { $0.adapter != nil }.map { ($0.name + ".weight", $0) }
    ) { $1 }
  }

  package var backend: any Backend { model.backend }

  package var names: [String] { source.weights.names }

  package func shape(of name: String) throws -> Shape { try source.weights.shape(of: name) }

  /// Gives the tensor's float32 elements in pieces of whole rows.
  package func forEachPiece(of name: String, _ consume: (Tensor) throws -> Void) throws {
    let shape = try shape(of: name)
    let width = shape.rank > 1 ? shape.count / max(1, shape[0]) : shape.count
    let rowCount = width == 0 ? 0 : shape.count / width
    let rowsPerPiece = max(1, ModelLoader.tileElements / max(1, width))
    for start in stride(from: 0, to: rowCount, by: rowsPerPiece) {
      let rows = start..<min(rowCount, start + rowsPerPiece)
      let piece = Tensor(uninitialized: [rows.count, width], .float32)
      let linear = adapted[name]
      if let linear, base == .quantized {
        model.backend.decode(linear.weight, rows: rows, into: piece)
        model.backend.synchronize()
      } else {
        try piece.withMutableElements(Float.self) {
          try source.weights.readFloats(
            name, range: rows.lowerBound * width..<rows.upperBound * width, into: $0)
        }
      }
      if let adapter = linear?.adapter { add(adapter, rows: rows, to: piece) }
      try consume(piece)
    }
  }

  /// Adds `scale · B[rows]·A`, rank by rank, so that each element is one sum in rank order.
  private func add(_ adapter: LowRankAdapter, rows: Range<Int>, to piece: Tensor) {
    let width = piece.shape[1]
    adapter.a.value.withElements(Float.self) { a in
      adapter.b.value.withElements(Float.self) { b in
        piece.withMutableElements(Float.self) { weights in
          for (local, row) in rows.enumerated() {
            for rank in 0..<adapter.rank {
              let factor = adapter.scale * b[row * adapter.rank + rank]
              for column in 0..<width {
                weights[local * width + column] += factor * a[rank * width + column]
              }
            }
          }
        }
      }
    }
  }
}
