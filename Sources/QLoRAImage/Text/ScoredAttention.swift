// Attention whose scores exist: for one that adds a bias to them, or has heads that are too wide
// for the tiled kernels. Of one sequence, without gradients.
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

struct ScoredAttention {
  let backend: any Backend
  let heads: Int
  let headSize: Int
  let scale: Float
  /// Added to the scaled score of a query and a key; nil adds nothing.
  var bias: ((_ head: Int, _ query: Int, _ key: Int) -> Float)?

  /// Queries whose scores exist at once: those of 16,384 keys are 16 MiB.
  private static let queriesAtOnce = 256

  /// `softmax(scale · QKᵀ + bias)·V`; all are `[rows, heads · headSize]` float32.
  ///
  /// - Throws: where a backend cannot hold keys as a weight.
  func attend(_ query: Tensor, _ key: Tensor, _ value: Tensor) throws -> Tensor {
    let rows = query.shape[0]
    let output = backend.allocate(query.shape, .float32)
    let (keys, values) = (key.floats(), value.floats())
    let width = heads * headSize
    for head in 0..<heads {
      let first = head * headSize
      let keyWeight = try weight([rows, headSize]) { keys[$0 * width + first + $1] }
      let valueWeight = try weight([headSize, rows]) { values[$1 * width + first + $0] }
      let part = backend.allocate([rows, headSize], .float32)
      backend.copyColumns(query, column: first, count: headSize, into: part, outputColumn: 0)
      let attended = backend.allocate([rows, headSize], .float32)
      for start in stride(from: 0, to: rows, by: Self.queriesAtOnce) {
        let range = start..<min(rows, start + Self.queriesAtOnce)
        let scores = backend.allocate([range.count, rows], .float32)
        backend.linear(
          part.rows(range), [LinearTerm(weight: keyWeight, output: scores, isInference: true)])
        backend.synchronize()
        normalize(scores, head: head, first: start)
        backend.linear(
          scores,
          [
            LinearTerm(weight: valueWeight, output: attended.rows(range), isInference: true)
          ])
      }
      backend.copyColumns(
        attended, column: 0, count: headSize, into: output, outputColumn: first)
    }
    return output
  }

  private func weight(
    _ shape: Shape, _ element: (_ row: Int, _ column: Int) -> Float
  ) throws -> any PreparedWeight {
    let builder = try backend.makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], .dense(.float32))
    for row in 0..<shape[0] {
      let values = (0..<shape[1]).map { element(row, $0) }
      try values.withUnsafeBufferPointer { try builder.append($0) }
    }
    return try builder.finish()
  }

  /// Scores become probabilities, row by row.
  private func normalize(_ scores: Tensor, head: Int, first: Int) {
    let keys = scores.shape[1]
    scores.withMutableElements(Float.self) { scores in
      for row in 0..<scores.count / max(1, keys) {
        let range = row * keys..<(row + 1) * keys
        var peak = -Float.infinity
        for index in range {
          scores[index] *= scale
          if let bias { scores[index] += bias(head, first + row, index - range.lowerBound) }
          peak = max(peak, scores[index])
        }
        var sum = 0.0
        for index in range {
          scores[index] = expf(scores[index] - peak)
          sum += Double(scores[index])
        }
        for index in range { scores[index] = Float(Double(scores[index]) / sum) }
      }
    }
  }
}
