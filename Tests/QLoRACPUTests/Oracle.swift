// The fp64 oracle that the product tests share.
import QLoRATensor
import TestSupport

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
