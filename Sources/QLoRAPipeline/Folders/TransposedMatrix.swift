// A matrix in memory that is read as its transpose, for libraries that keep linears the other way
// round.

import QLoRATensor

struct TransposedMatrix {
  /// `[rows · columns]` float32, row by row.
  private let elements: Tensor
  private let rows: Int
  private let columns: Int

  /// - Parameters:
  ///   - shape: `[rows, columns]`, before it is transposed.
  ///   - fill: gives the elements row by row.
  init(
    _ shape: Shape, _ backend: any Backend,
    fill: (UnsafeMutableBufferPointer<Float>) throws -> Void
  ) throws {
    (rows, columns) = (shape[0], shape[1])
    elements = backend.allocate([shape.count], .float32)
    try elements.withMutableElements(Float.self, fill)
  }

  /// Elements `range` of the `[columns, rows]` transpose.
  func read(_ range: Range<Int>, into floats: UnsafeMutableBufferPointer<Float>) {
    elements.withElements(Float.self) { elements in
      var (row, column) = (range.lowerBound % rows, range.lowerBound / rows)
      for index in 0..<range.count {
        floats[index] = elements[row * columns + column]
        row += 1
        if row == rows { (row, column) = (0, column + 1) }
      }
    }
  }
}
