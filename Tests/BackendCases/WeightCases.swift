// Cases of weights: their way in, decoding, look-ups, and the way back to the layouts of files.
import QLoRATensor

extension BackendCase {
  static let storages: [WeightStorage] = [
    .fourBit(QuantizationSpec()), .fourBit(QuantizationSpec(blockSize: 32, doubleQuantized: false)),
    .fourBit(QuantizationSpec(type: .fp4, blockSize: 128)), .dense(.float32), .dense(.bfloat16),
    .dense(.float16), .int8(Int8Spec()),
  ]

  /// Rows of a multiple of 16 columns, where four bits have a way of their own, and odd ones.
  private static let shapes = [(1, 1), (3, 7), (37, 61), (9, 129), (16, 64), (33, 320)]

  static let weights: [BackendCase] = shapes.flatMap { rows, columns in
    storages.flatMap { storage in
      [decoding(rows, columns, storage), embedding(rows, columns, storage)]
    }
  } + [wayBack]

  private static func decoding(
    _ rows: Int, _ columns: Int, _ storage: WeightStorage
  ) -> BackendCase {
    BackendCase("decode \(rows)x\(columns) \(storage)", tolerance: 0) { backend in
      let weight = try backend.seededWeight(rows, columns, storage)
      let whole = backend.blank([rows, columns])
      backend.decode(weight, rows: 0..<rows, into: whole)
      let last = backend.blank([1, columns])
      backend.decode(weight, rows: rows - 1..<rows, into: last)
      return [whole, last]
    }
  }

  private static func embedding(
    _ rows: Int, _ columns: Int, _ storage: WeightStorage
  ) -> BackendCase {
    BackendCase("embedding \(rows)x\(columns) \(storage)", tolerance: 0) { backend in
      let weight = try backend.seededWeight(rows, columns, storage)
      let tokens = (0..<5).map { Int32($0 * 7 % rows) }
      return [DType.float32, .bfloat16, .float16].map { dtype in
        let output = backend.blank([tokens.count, columns], dtype)
        backend.embedding(tokens, weight, into: output)
        return output
      }
    }
  }

  private static let wayBack = BackendCase("weights as files have them", tolerance: 0) { backend in
    try storages.flatMap { storage -> [Tensor] in
      let weight = try backend.seededWeight(19, 67, storage)
      if let matrix = backend.quantizedMatrix(weight, sourceDType: .float32) {
        let again = try backend.prepare(matrix)
        let decoded = backend.blank([19, 67])
        backend.decode(again, rows: 0..<19, into: decoded)
        switch matrix.scales {
        case .plain(let absmax): return [matrix.packed, absmax, decoded]
        case .nested(let nested):
          return [matrix.packed, nested.codes, nested.absmax, nested.map, decoded]
        }
      }
      return backend.int8Matrix(weight).map { [$0.codes, $0.scales] } ?? []
    }
  }
}
