// Columns of rows copied apart and together again.
import QLoRATensor

extension CUDABackend {
  package func split(_ input: Tensor, widths: [Int], into outputs: [Tensor]) {
    let whole = matrix(input)
    forEachPart(input, widths, outputs) { part, column, rows, width in
      copy(whole.from(column: column), to: writable(part), rows: rows, columns: width)
    }
  }

  package func join(_ inputs: [Tensor], widths: [Int], into output: Tensor) {
    let whole = writable(output)
    forEachPart(output, widths, inputs) { part, column, rows, width in
      copy(matrix(part), to: whole.from(column: column), rows: rows, columns: width)
    }
  }

  private func forEachPart(
    _ whole: Tensor, _ widths: [Int], _ parts: [Tensor],
    _ copy: (_ part: Tensor, _ column: Int, _ rows: Int, _ width: Int) -> Void
  ) {
    let width = widths.reduce(0, +)
    let count = whole.count / max(1, width)
    precondition(whole.shape[-1] == width && widths.count == parts.count)
    var column = 0
    for (part, width) in zip(parts, widths) {
      precondition(part.count == count * width && part.dtype == whole.dtype)
      precondition(part.shape[-1] == width)
      copy(part, column, count, width)
      column += width
    }
  }
}

extension DeviceMatrix {
  /// The same rows from a column on.
  fileprivate func from(column: Int) -> DeviceMatrix {
    DeviceMatrix(
      address: address + DeviceAddress(column * dtype.byteSize), dtype: dtype, stride: stride)
  }
}
