// Weights, inputs and the fp64 oracle that the product tests share.
import QLoRATensor
import TestSupport

import QLoRACPU

extension CPUBackend {
  /// A weight of seeded normals, and what it decodes to.
  func seededWeight(
    _ outFeatures: Int, _ inFeatures: Int, _ storage: WeightStorage, seed: UInt64 = 7
  ) throws -> (any PreparedWeight, [Float]) {
    var generator = SeededGenerator(seed: seed)
    let values = generator.normals(outFeatures * inFeatures, scale: 0.3)
    let builder = try makeWeightBuilder(
      outFeatures: outFeatures, inFeatures: inFeatures, storage)
    try values.withUnsafeBufferPointer { try builder.append($0) }
    let weight = try builder.finish()
    let decoded = allocate([outFeatures, inFeatures], .float32)
    decode(weight, rows: 0..<outFeatures, into: decoded)
    return (weight, decoded.floats())
  }

  func seededTensor(_ shape: Shape, _ dtype: DType = .float32, seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    let values = generator.normals(shape.count)
    if dtype == .float32 { return Tensor(values, shape: shape) }
    let tensor = Tensor(uninitialized: shape, dtype)
    tensor.withMutableElements(UInt16.self) { bits in
      for (index, value) in values.enumerated() { bits[index] = value.bfloat16Bits }
    }
    return tensor
  }

  func seededAdapter(
    rank: Int, _ outFeatures: Int, _ inFeatures: Int, tokens: Int, dropout: DropoutMask? = nil
  ) -> AdapterTerm {
    AdapterTerm(
      a: seededTensor([rank, inFeatures], seed: 11), b: seededTensor([outFeatures, rank], seed: 12),
      scale: 0.5, dropout: dropout, projected: Tensor(zeros: [tokens, rank]))
  }
}

/// Matrices of doubles, slow and plain.
struct Oracle {
  let rows: Int
  let columns: Int
  var values: [Double]

  init(_ rows: Int, _ columns: Int, _ values: [Double]) {
    self.rows = rows
    self.columns = columns
    self.values = values
  }

  init(_ tensor: Tensor) {
    self.init(tensor.shape[0], tensor.shape[1], tensor.floats().map(Double.init))
  }

  /// `self · otherᵀ`.
  func timesTransposed(_ other: Oracle) -> Oracle {
    var result = [Double](repeating: 0, count: rows * other.rows)
    for row in 0..<rows {
      for column in 0..<other.rows {
        var sum = 0.0
        for index in 0..<columns {
          sum += values[row * columns + index] * other.values[column * columns + index]
        }
        result[row * other.rows + column] = sum
      }
    }
    return Oracle(rows, other.rows, result)
  }

  var transposed: Oracle {
    var result = values
    for row in 0..<rows {
      for column in 0..<columns { result[column * rows + row] = values[row * columns + column] }
    }
    return Oracle(columns, rows, result)
  }

  func times(_ other: Oracle) -> Oracle { timesTransposed(other.transposed) }

  func plus(_ other: Oracle, scale: Double = 1) -> Oracle {
    Oracle(rows, columns, zip(values, other.values).map { $0 + scale * $1 })
  }

  /// The largest difference, relative to the largest element.
  func distance(_ tensor: Tensor) -> Double {
    let largest = values.map(abs).max() ?? 1
    let difference = zip(values, tensor.floats()).map { abs($0 - Double($1)) }.max() ?? 0
    return difference.isNaN || tensor.floats().contains(where: \.isNaN)
      ? .infinity : difference / max(largest, 1e-30)
  }
}
