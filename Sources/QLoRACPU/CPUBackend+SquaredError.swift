// The loss of models that predict numbers, with its gradient.
import QLoRATensor

// SAFETY: stretches lie inside tensors whose counts the precondition compares; tasks write disjoint
// ones.
extension CPUBackend {
  package func squaredError(
    _ prediction: Tensor, target: Tensor, weights: [Float], bounds: [Int], gradient: Tensor?
  ) -> Double {
    let width = prediction.shape[-1]
    precondition(target.count == prediction.count && weights.count == bounds.count - 1)
    precondition(prediction.count == (bounds.last ?? 0) * width)
    let rows = prediction.shape[0]
    let sums = Tensor(zeros: [rows], .float64)
    let scratch = WorkerScratch(self, floats: 2 * width)
    runSamples(bounds, width: width) { sample, range, worker in
      let memory = scratch.part(worker)
      let elements = (bounds[sample + 1] - bounds[sample]) * width
      let weight = Double(weights[sample]) / Double(elements)
      for row in range {
        let p = floats(prediction, at: row * width, width, scratch: memory)
        let t = floats(target, at: row * width, width, scratch: memory + width)
        var sum = 0.0
        for i in 0..<width {
          let error = Double(p[i]) - Double(t[i])
          sum += error * error
          gradient?.floatAddress(at: row * width)[i] = Float(2 * weight * error)
        }
        sums.pointer(Double.self)[row] = weight * sum
      }
    }
    return sums.withElements(Double.self) { $0.reduce(0, +) }
  }
}
