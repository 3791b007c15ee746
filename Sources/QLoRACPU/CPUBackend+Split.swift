// Columns of rows copied apart and together again.
import QLoRATensor

// SAFETY: `runParts` compares all counts with the rows' width before a byte is copied.
extension CPUBackend {
  package func split(_ input: Tensor, widths: [Int], into outputs: [Tensor]) {
    runParts(input, widths, outputs) { whole, part, byteCount in
      part.copyMemory(from: whole, byteCount: byteCount)
    }
  }

  package func join(_ inputs: [Tensor], widths: [Int], into output: Tensor) {
    runParts(output, widths, inputs) { whole, part, byteCount in
      whole.copyMemory(from: part, byteCount: byteCount)
    }
  }

  /// Calls `copy` with the places of each part of each row.
  private func runParts(
    _ whole: Tensor, _ widths: [Int], _ parts: [Tensor],
    _ copy: (UnsafeMutableRawPointer, UnsafeMutableRawPointer, _ byteCount: Int) -> Void
  ) {
    let width = widths.reduce(0, +)
    let count = whole.count / max(1, width)
    precondition(count * width == whole.count && widths.count == parts.count)
    for (part, width) in zip(parts, widths) {
      precondition(part.count == count * width && part.dtype == whole.dtype)
    }
    runRows(count, width: width) { range in
      for row in range {
        var column = row * width
        for (part, width) in zip(parts, widths) {
          copy(
            whole.address(at: column), part.address(at: row * width),
            width * whole.dtype.byteSize)
          column += width
        }
      }
    }
  }
}
