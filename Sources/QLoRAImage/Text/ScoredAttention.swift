// Attention whose scores exist: for one that adds a bias to them, or has heads that are too wide
// for the tiled kernels. Of one sequence, without gradients.
import QLoRATensor

struct ScoredAttention {
  let backend: any Backend
  let heads: Int
  let headSize: Int
  let scale: Float
  /// Of each head `[2 · rows − 1]` float32: added to the scaled score of a key that stands
  /// `index − rows + 1` behind its query; empty adds nothing.
  var biases: [Tensor] = []

  /// Queries whose scores exist at once: those of 16,384 keys are 16 MiB.
  private static let queriesAtOnce = 256

  /// `softmax(scale · QKᵀ + bias)·V`; all are `[rows, heads · headSize]` of one type.
  ///
  /// - Throws: where a backend cannot hold keys as a weight.
  func attend(_ query: Tensor, _ key: Tensor, _ value: Tensor) throws -> Tensor {
    let (rows, dtype) = (query.shape[0], query.dtype)
    let output = backend.allocate(query.shape, dtype)
    for head in 0..<heads {
      let keys = try weight([rows, headSize], dtype, part(key, head, .float32).floats())
      let columns = transposed(part(value, head, .float32).floats(), rows: rows)
      let values = try weight([headSize, rows], dtype, columns)
      let queries = part(query, head, dtype)
      let attended = backend.allocate([rows, headSize], dtype)
      for start in stride(from: 0, to: rows, by: Self.queriesAtOnce) {
        let range = start..<min(rows, start + Self.queriesAtOnce)
        let scores = backend.allocate([range.count, rows], .float32)
        backend.linear(
          queries.rows(range), [LinearTerm(weight: keys, output: scores, isInference: true)])
        let probabilities =
          dtype == .float32 ? scores : backend.allocate([range.count, rows], dtype)
        backend.biasedSoftmax(
          scores, scale: scale, biases: biases.isEmpty ? nil : biases[head], first: start,
          into: probabilities)
        backend.linear(
          probabilities,
          [LinearTerm(weight: values, output: attended.rows(range), isInference: true)])
      }
      backend.copyColumns(
        attended, column: 0, count: headSize, into: output, outputColumn: head * headSize)
    }
    return output
  }

  /// The columns of one head.
  private func part(_ tensor: Tensor, _ head: Int, _ dtype: DType) -> Tensor {
    let part = backend.allocate([tensor.shape[0], headSize], dtype)
    backend.copyColumns(
      tensor, column: head * headSize, count: headSize, into: part, outputColumn: 0)
    backend.synchronize()
    return part
  }

  private func weight(
    _ shape: Shape, _ dtype: DType, _ values: [Float]
  ) throws -> any PreparedWeight {
    let builder = try backend.makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], .dense(dtype))
    try values.withUnsafeBufferPointer { try builder.append($0) }
    return try builder.finish()
  }

  private func transposed(_ values: [Float], rows: Int) -> [Float] {
    let width = headSize
    return values.withUnsafeBufferPointer { from in
      [Float](unsafeUninitializedCapacity: from.count) { to, count in
        for column in 0..<width {
          for row in 0..<rows { to[column * rows + row] = from[row * width + column] }
        }
        count = from.count
      }
    }
  }
}
