// Columns of rows copied apart and together again.
import QLoRATensor

extension CUDABackend {
  package func split(_ input: Tensor, widths: [Int], into outputs: [Tensor]) {
    let rows = rowCount(input, widths, outputs)
    let address = read(input)
    copy(
      zip(outputs, pieces(of: input, at: address, widths)).map { part, piece in
        let target = DeviceMatrix(address: write(part), dtype: part.dtype, stride: piece.width)
        return MatrixCopy(from: piece.matrix, to: target, rows: rows, columns: piece.width)
      })
  }

  package func join(_ inputs: [Tensor], widths: [Int], into output: Tensor) {
    let rows = rowCount(output, widths, inputs)
    let address = write(output)
    copy(
      zip(inputs, pieces(of: output, at: address, widths)).map { part, piece in
        let source = DeviceMatrix(address: read(part), dtype: part.dtype, stride: piece.width)
        return MatrixCopy(from: source, to: piece.matrix, rows: rows, columns: piece.width)
      })
  }

  package func copyColumns(
    _ input: Tensor, column: Int, count: Int, into output: Tensor, outputColumn: Int
  ) {
    precondition(input.shape[0] == output.shape[0])
    precondition(column + count <= input.shape[-1] && outputColumn + count <= output.shape[-1])
    let target = DeviceMatrix(
      address: write(output), dtype: output.dtype, stride: output.shape[-1])
    copy(
      matrix(input).columns(from: column), to: target.columns(from: outputColumn),
      rows: input.shape[0], columns: count)
  }

  /// How many rows of `Σ widths` elements there are, which may be parts of a tensor's rows, such as
  /// its heads.
  private func rowCount(_ whole: Tensor, _ widths: [Int], _ parts: [Tensor]) -> Int {
    let width = widths.reduce(0, +)
    let count = whole.count / max(1, width)
    precondition(count * width == whole.count && widths.count == parts.count)
    for (part, width) in zip(parts, widths) {
      precondition(part.count == count * width && part.dtype == whole.dtype)
    }
    return count
  }

  private func pieces(
    of whole: Tensor, at address: DeviceAddress, _ widths: [Int]
  ) -> [(matrix: DeviceMatrix, width: Int)] {
    let stride = widths.reduce(0, +)
    var column = 0
    return widths.map { width in
      defer { column += width }
      let place = address + DeviceAddress(column * whole.dtype.byteSize)
      return (DeviceMatrix(address: place, dtype: whole.dtype, stride: stride), width)
    }
  }
}
