// Cases of the output head.
import QLoRATensor

extension BackendCase {
  static let heads: [BackendCase] = [DType.float32, .bfloat16, .float16].flatMap { dtype in
    [(7, 64), (257, 40), (1_000, 64)].flatMap { vocabulary, hidden in
      [0, 2].map { head(dtype, vocabulary: vocabulary, hidden: hidden, softCap: $0) }
    }
  }

  /// The likeliest token, also where several are.
  static let choices = [1, 3, 1_024, 5_000].map { count in
    BackendCase("likeliest of \(count)", tolerance: 0) { backend in
      let values = backend.seeded([1, count], seed: 53)
      let found = backend.likeliest(values)
      let flat = Tensor(zeros: [1, count])
      flat[flat: count - 1] = 2
      flat[flat: count / 2] = 2
      return [Tensor([Float(found), Float(backend.likeliest(flat))], shape: [2])]
    }
  }

  /// bf16 rounds probabilities and both factors of the gradient's product.
  private static func head(
    _ dtype: DType, vocabulary: Int, hidden: Int, softCap: Float
  ) -> BackendCase {
    let tolerance = dtype == .bfloat16 ? 4 * rounding(dtype) : 1e-5
    let name = "head \(dtype) \(vocabulary)x\(hidden) cap \(softCap)"
    return BackendCase(name, tolerance: tolerance) { backend in
      let tokens = 9
      let states = backend.seeded([tokens, hidden], dtype, seed: 51)
      let weight = try backend.seededWeight(vocabulary, hidden, .dense(.bfloat16), seed: 52)
      let rows: [Int32] = [0, 2, 3, 5, 8]
      let targets = rows.map { $0 * 31 % Int32(vocabulary) }
      let gradient = backend.blank([tokens, hidden])
      let loss = backend.linearCrossEntropy(
        states, rows: rows, targets: targets, head: weight, softCap: softCap,
        hiddenGradient: gradient)
      let plain = backend.linearCrossEntropy(
        states, rows: rows, targets: targets, head: weight, softCap: softCap,
        hiddenGradient: nil)
      let nothing = backend.linearCrossEntropy(
        states, rows: [], targets: [], head: weight, softCap: softCap,
        hiddenGradient: nil)
      let scores = backend.scoreTokens(
        states, rows: rows, targets: targets, head: weight, softCap: softCap)
      // A row that is named twice gets both gradients.
      let twice = backend.blank([tokens, hidden])
      _ = backend.linearCrossEntropy(
        states, rows: [4, 4, 1], targets: [1, 2, 3], head: weight, softCap: softCap,
        hiddenGradient: twice)
      return [
        gradient, twice, Tensor([Float(loss), Float(plain), Float(nothing)], shape: [3]),
        Tensor(scores.negativeLogLikelihoods, shape: [rows.count]),
        Tensor(scores.mostLikely.map(Float.init), shape: [rows.count]),
      ]
    }
  }
}
