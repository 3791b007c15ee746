// The norm that a sample's vectors scale and shift, and the residual behind their gate.
import QLoRATensor

// SAFETY: rows lie inside tensors whose counts the preconditions compare, tasks write disjoint rows
// or columns, and the tensors outlive the call.
extension CPUBackend {
  package func modulatedNorm(
    _ input: Tensor, shift: Tensor, scale: Tensor, bounds: [Int], epsilon: Float,
    into output: Tensor, statistics: Tensor
  ) {
    let width = scale.shape[-1]
    check(input, scale, bounds)
    precondition(output.count == input.count && statistics.count == 2 * input.shape[0])
    precondition(shift.count == scale.count)
    let scratch = WorkerScratch(self, floats: 2 * width)
    runSamples(bounds, width: width) { sample, rows, worker in
      let memory = scratch.part(worker)
      let scales = scale.floatAddress(at: sample * width)
      let shifts = shift.floatAddress(at: sample * width)
      for row in rows {
        let x = floats(input, at: row * width, width, scratch: memory)
        let y = target(output, at: row * width, scratch: memory + width)
        let mean = interleavedSum(width) { x[$0] } / Float(width)
        let variance = interleavedSum(width) { (x[$0] - mean) * (x[$0] - mean) } / Float(width)
        let inverse = 1 / (variance + epsilon).squareRoot()
        for i in 0..<width { y[i] = (x[i] - mean) * inverse * (1 + scales[i]) + shifts[i] }
        store(y, output, at: row * width, width)
        statistics[flat: 2 * row] = mean
        statistics[flat: 2 * row + 1] = inverse
      }
    }
  }

  package func modulatedNormBackward(
    _ outputGradient: Tensor, input: Tensor, scale: Tensor, statistics: Tensor, bounds: [Int],
    inputGradient: Tensor?, accumulating: Bool, shiftGradient: Tensor?, scaleGradient: Tensor?
  ) {
    let width = scale.shape[-1]
    check(input, scale, bounds)
    precondition(outputGradient.count == input.count)
    let scratch = WorkerScratch(self, floats: 2 * width)
    if let inputGradient {
      precondition(inputGradient.count == input.count)
      runSamples(bounds, width: width) { sample, rows, worker in
        let scales = scale.floatAddress(at: sample * width)
        let memory = scratch.part(worker)
        for row in rows {
          let x = floats(input, at: row * width, width, scratch: memory)
          normGradient(
            width, outputGradient.floatAddress(at: row * width), x, scales,
            statistics.floatAddress(at: 2 * row), inputGradient.floatAddress(at: row * width),
            accumulating)
        }
      }
    }
    sumRows(bounds, width, into: shiftGradient) { row, columns, sums, _ in
      let dy = outputGradient.floatAddress(at: row * width)
      for i in columns { sums[i] += dy[i] }
    }
    sumRows(bounds, width, into: scaleGradient) { row, columns, sums, memory in
      let dy = outputGradient.floatAddress(at: row * width)
      let x = floats(
        input, at: row * width + columns.lowerBound, columns.count, scratch: memory)
      let (mean, inverse) = (statistics[flat: 2 * row], statistics[flat: 2 * row + 1])
      for i in columns { sums[i] += dy[i] * (x[i - columns.lowerBound] - mean) * inverse }
    }
  }

  /// dx (+)= r·(g − mean(g) − n·mean(g·n)) with g = (1 + scale)·dy and n = (x − mean)·r.
  private func normGradient(
    _ width: Int, _ dy: UnsafeMutablePointer<Float>, _ x: UnsafeMutablePointer<Float>,
    _ scales: UnsafeMutablePointer<Float>, _ statistics: UnsafeMutablePointer<Float>,
    _ dx: UnsafeMutablePointer<Float>, _ accumulating: Bool
  ) {
    let (mean, inverse) = (statistics[0], statistics[1])
    let plain = interleavedSum(width) { dy[$0] * (1 + scales[$0]) } / Float(width)
    let along =
      interleavedSum(width) { dy[$0] * (1 + scales[$0]) * (x[$0] - mean) * inverse }
      / Float(width)
    for i in 0..<width {
      let n = (x[i] - mean) * inverse
      let gradient = inverse * (dy[i] * (1 + scales[i]) - plain - n * along)
      dx[i] = accumulating ? dx[i] + gradient : gradient
    }
  }

  package func gatedAdd(
    _ residual: Tensor, _ values: Tensor, gate: Tensor, bounds: [Int], into output: Tensor
  ) {
    let width = gate.shape[-1]
    check(residual, gate, bounds)
    precondition(values.count == residual.count && output.count == residual.count)
    let scratch = WorkerScratch(self, floats: 3 * width)
    runSamples(bounds, width: width) { sample, rows, worker in
      let memory = scratch.part(worker)
      let gates = gate.floatAddress(at: sample * width)
      for row in rows {
        let x = floats(residual, at: row * width, width, scratch: memory)
        let y = floats(values, at: row * width, width, scratch: memory + width)
        let sum = target(output, at: row * width, scratch: memory + 2 * width)
        for i in 0..<width { sum[i] = x[i] + gates[i] * y[i] }
        store(sum, output, at: row * width, width)
      }
    }
  }

  package func gatedAddBackward(
    _ outputGradient: Tensor, values: Tensor?, gate: Tensor, bounds: [Int],
    valuesGradient: Tensor?, gateGradient: Tensor?
  ) {
    let width = gate.shape[-1]
    check(outputGradient, gate, bounds)
    if let valuesGradient {
      precondition(valuesGradient.count == outputGradient.count)
      runSamples(bounds, width: width) { sample, rows, _ in
        let gates = gate.floatAddress(at: sample * width)
        for row in rows {
          let dy = outputGradient.floatAddress(at: row * width)
          let dv = valuesGradient.floatAddress(at: row * width)
          for i in 0..<width { dv[i] = gates[i] * dy[i] }
        }
      }
    }
    guard let values else { return }
    sumRows(bounds, width, into: gateGradient) { row, columns, sums, memory in
      let dy = outputGradient.floatAddress(at: row * width)
      let y = floats(
        values, at: row * width + columns.lowerBound, columns.count, scratch: memory)
      for i in columns { sums[i] += dy[i] * y[i - columns.lowerBound] }
    }
  }

  /// Columns that one task sums down the rows of a sample: a few cache lines of each row.
  private static let summedColumns = 128

  /// `output [samples, width]` = Σ over the rows of each sample of what `add` adds to columns.
  private func sumRows(
    _ bounds: [Int], _ width: Int, into output: Tensor?,
    _ add: (
      _ row: Int, _ columns: Range<Int>, _ sums: UnsafeMutablePointer<Float>,
      _ memory: UnsafeMutablePointer<Float>
    ) -> Void
  ) {
    guard let output else { return }
    precondition(output.count == (bounds.count - 1) * width)
    let scratch = WorkerScratch(self, floats: Self.summedColumns)
    let chunks = (width + Self.summedColumns - 1) / Self.summedColumns
    threadPool.run((bounds.count - 1) * chunks) { item, worker in
      let sample = item / chunks
      let start = item % chunks * Self.summedColumns
      let columns = start..<min(width, start + Self.summedColumns)
      let sums = output.floatAddress(at: sample * width)
      for i in columns { sums[i] = 0 }
      for row in bounds[sample]..<bounds[sample + 1] {
        add(row, columns, sums, scratch.part(worker))
      }
    }
  }

  private func check(_ rows: Tensor, _ vectors: Tensor, _ bounds: [Int]) {
    precondition(vectors.dtype == .float32 && rows.dtype.isActivation)
    precondition(vectors.count == (bounds.count - 1) * vectors.shape[-1])
    precondition(rows.count == (bounds.last ?? 0) * vectors.shape[-1], "bounds must cover rows")
  }
}
