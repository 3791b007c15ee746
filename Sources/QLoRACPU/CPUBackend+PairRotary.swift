// Rotary position embedding over pairs of neighbours, in place, and its inverse.
import QLoRATensor

// SAFETY: rows lie inside the tensor, and every position was compared with the tables' rows.
extension CPUBackend {
  package func pairRotary(
    _ tensor: Tensor, headSize: Int, positions: [Int32], cosines: Tensor, sines: Tensor,
    inverse: Bool
  ) {
    let width = tensor.count / max(1, positions.count)
    let (tableRows, half) = (cosines.shape[0], cosines.shape[1])
    precondition(2 * half <= headSize && width % headSize == 0)
    precondition(tensor.count == width * positions.count && sines.count == cosines.count)
    precondition(positions.allSatisfy { $0 >= 0 && $0 < tableRows }, "position past the tables")
    precondition(tensor.dtype.isActivation)
    let scratch = WorkerScratch(self, floats: width)
    let sign: Float = inverse ? -1 : 1
    runSamples([0, positions.count], width: width) { _, rows, worker in
      for row in rows {
        let x = floats(tensor, at: row * width, width, scratch: scratch.part(worker))
        let c = cosines.floatAddress(at: Int(positions[row]) * half)
        let s = sines.floatAddress(at: Int(positions[row]) * half)
        for head in stride(from: 0, to: width, by: headSize) {
          for i in 0..<half {
            let (a, b) = (x[head + 2 * i], x[head + 2 * i + 1])
            x[head + 2 * i] = a * c[i] - sign * b * s[i]
            x[head + 2 * i + 1] = b * c[i] + sign * a * s[i]
          }
        }
        store(x, tensor, at: row * width, width)
      }
    }
  }
}
