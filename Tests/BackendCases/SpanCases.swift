// Cases of attention between sequences, without a mask, or with a bias by distance.
import QLoRATensor

private struct SpanProblem {
  var queries: [Int]
  var keys: [Int]
  var heads: Int
  var kvHeads: Int
  var headSize: Int
  var dtype: DType
  var isCausal = false
  var offset = 0
  /// Of the bias; nil = none.
  var reach: Int?
  /// Key rows behind the last sequence, which nobody sees: they hold NaN.
  var spare = 0

  var rows: Int { queries.reduce(0, +) }
  var keyRows: Int { keys.reduce(0, +) + spare }
  var spans: AttentionSpans {
    AttentionSpans(queries: bounds(queries), keys: bounds(keys), offset: offset)
  }
  var layout: AttentionLayout {
    AttentionLayout(
      heads: heads, kvHeads: kvHeads, headSize: headSize, scale: 1 / Float(headSize).squareRoot(),
      isCausal: isCausal)
  }
  var name: String {
    "\(queries) rows to \(keys) heads \(heads)/\(kvHeads) of \(headSize) \(dtype)"
      + (isCausal ? " causal behind \(offset)" : "") + (reach.map { " reach \($0)" } ?? "")
  }

  private func bounds(_ lengths: [Int]) -> [Int] {
    lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }
  }
}

extension BackendCase {
  /// Fewer and more keys than queries, sequences of none, ends in tiles and at theirs.
  private static let unmasked: [SpanProblem] =
    [64, 96, 128, 256].map {
      SpanProblem(
        queries: [1, 30, 65], keys: [70, 0, 41], heads: 4, kvHeads: 2, headSize: $0,
        dtype: .bfloat16, spare: 3)
    } + [
      SpanProblem(
        queries: [64, 64], keys: [64, 128], heads: 2, kvHeads: 2, headSize: 64, dtype: .bfloat16),
      SpanProblem(
        queries: [9, 0, 33], keys: [5, 7, 40], heads: 4, kvHeads: 2, headSize: 24,
        dtype: .float32, spare: 2),
      SpanProblem(
        queries: [21, 2], keys: [1, 50], heads: 3, kvHeads: 1, headSize: 64, dtype: .float16),
    ]

  /// Places of a cache before the first query, and more queries than keys.
  private static let causal: [SpanProblem] = [
    SpanProblem(
      queries: [70], keys: [130], heads: 2, kvHeads: 1, headSize: 64, dtype: .bfloat16,
      isCausal: true, offset: 60),
    SpanProblem(
      queries: [30, 40], keys: [35, 45], heads: 2, kvHeads: 2, headSize: 128, dtype: .bfloat16,
      isCausal: true, offset: 5),
    SpanProblem(
      queries: [20, 9], keys: [11, 12], heads: 4, kvHeads: 2, headSize: 24, dtype: .float32,
      isCausal: true),
  ]

  /// A reach shorter and longer than the sequences, with and without a mask.
  private static let distant: [SpanProblem] =
    [DType.float32, .bfloat16, .float16].flatMap { dtype in
      [(false, 4), (false, 60), (true, 4)].map { isCausal, reach in
        SpanProblem(
          queries: [17, 6, 1], keys: [17, 9, 1], heads: 4, kvHeads: 2, headSize: 64, dtype: dtype,
          isCausal: isCausal, offset: isCausal ? 3 : 0, reach: reach)
      }
    }

  static let spans: [BackendCase] =
    (unmasked + causal + distant).map { problem in
      BackendCase("span attention of \(problem.name)", tolerance: tolerance(problem.dtype)) {
        attend(problem, $0)
      }
    }
    + [(64, DType.bfloat16), (128, .bfloat16), (24, .float32), (64, .float16)].map { size, dtype in
      BackendCase("attention without a mask, \(size) \(dtype)", tolerance: tolerance(dtype)) {
        attendUnmasked(size, dtype, $0)
      }
    }

  /// bf16 rounds weights, outputs, and both factors of every gradient.
  private static func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .bfloat16: 3 * rounding(.bfloat16)
    case .float16: 2 * rounding(.float16)
    default: 5e-6
    }
  }

  private static func attend(_ problem: SpanProblem, _ backend: any Backend) -> [Tensor] {
    let wide: Shape = [problem.rows, problem.heads * problem.headSize]
    let narrow: Shape = [problem.keyRows, problem.kvHeads * problem.headSize]
    let query = backend.seeded(wide, problem.dtype, seed: 71)
    let key = backend.seeded(narrow, problem.dtype, seed: 72)
    let value = backend.seeded(narrow, problem.dtype, seed: 73)
    for rows in [key, value].map({ $0.rows(problem.keyRows - problem.spare..<problem.keyRows) }) {
      rows.withMutableBytes { _ = $0.initializeMemory(as: UInt8.self, repeating: 0xFF) }
    }
    let gradient = backend.seeded(wide, seed: 74)
    let bias = problem.reach.map {
      DistanceBias(backend.seeded([problem.heads, 2 * $0 + 1], seed: 75), reach: $0)
    }
    let output = backend.blank(wide, problem.dtype)
    let logSumExp = backend.blank([problem.heads, problem.rows])
    backend.spanAttention(
      query: query, key: key, value: value, layout: problem.layout, spans: problem.spans,
      bias: bias, into: output, logSumExp: logSumExp)
    let gradients = [wide, narrow, narrow].map { backend.blank($0) }
    backend.spanAttentionBackward(
      gradient, query: query, key: key, value: value, output: output, logSumExp: logSumExp,
      layout: problem.layout, spans: problem.spans, bias: bias, queryGradient: gradients[0],
      keyGradient: gradients[1], valueGradient: gradients[2])
    return [output, logSumExp] + gradients
  }

  private static func attendUnmasked(
    _ size: Int, _ dtype: DType, _ backend: any Backend
  ) -> [Tensor] {
    let layout = AttentionLayout(
      heads: 4, kvHeads: 2, headSize: size, scale: 0.2, isCausal: false)
    let (bounds, wide, narrow) = ([0, 3, 70, 135], Shape([135, 4 * size]), Shape([135, 2 * size]))
    let query = backend.seeded(wide, dtype, seed: 76)
    let key = backend.seeded(narrow, dtype, seed: 77)
    let value = backend.seeded(narrow, dtype, seed: 78)
    let gradient = backend.seeded(wide, seed: 79)
    let (output, logSumExp) = (backend.blank(wide, dtype), backend.blank([4, 135]))
    backend.attention(
      query: query, key: key, value: value, layout: layout, bounds: bounds, into: output,
      logSumExp: logSumExp)
    let gradients = [wide, narrow, narrow].map { backend.blank($0) }
    backend.attentionBackward(
      gradient, query: query, key: key, value: value, output: output, logSumExp: logSumExp,
      layout: layout, bounds: bounds, queryGradient: gradients[0], keyGradient: gradients[1],
      valueGradient: gradients[2])
    return [output, logSumExp] + gradients
  }
}
