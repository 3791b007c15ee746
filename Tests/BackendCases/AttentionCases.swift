// Cases of attention: head sizes with and without tiles, groups, packed sequences, caches.
import QLoRATensor

private struct AttentionProblem {
  var lengths: [Int]
  var heads: Int
  var kvHeads: Int
  var headSize: Int
  var dtype: DType
  var window = 0
  var softCap: Float = 0

  var rows: Int { lengths.reduce(0, +) }
  var bounds: [Int] { lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) } }
  var layout: AttentionLayout {
    AttentionLayout(
      heads: heads, kvHeads: kvHeads, headSize: headSize, scale: 1 / Float(headSize).squareRoot(),
      window: window, softCap: softCap)
  }
  var name: String { "\(lengths) heads \(heads)/\(kvHeads) of \(headSize) \(dtype)\(limits)" }
  private var limits: String { window == 0 ? "" : " window \(window) cap \(softCap)" }

  /// bf16 rounds weights, outputs, and both factors of every gradient.
  var tolerance: Double {
    switch dtype {
    case .bfloat16: 3 * rounding(.bfloat16)
    case .float16: 2 * rounding(.float16)
    default: 5e-6
    }
  }
}

extension BackendCase {
  private static let problems: [AttentionProblem] =
    [64, 96, 128, 256].flatMap { size in
      [
        AttentionProblem(lengths: [70], heads: 2, kvHeads: 1, headSize: size, dtype: .bfloat16),
        AttentionProblem(
          lengths: [1, 30, 65, 40], heads: 3, kvHeads: 3, headSize: size, dtype: .bfloat16),
      ]
    } + [
      AttentionProblem(lengths: [129], heads: 8, kvHeads: 2, headSize: 64, dtype: .bfloat16),
      AttentionProblem(lengths: [17], heads: 2, kvHeads: 1, headSize: 80, dtype: .bfloat16),
      AttentionProblem(lengths: [1], heads: 4, kvHeads: 2, headSize: 16, dtype: .float32),
      AttentionProblem(lengths: [9, 33], heads: 4, kvHeads: 2, headSize: 24, dtype: .float32),
      AttentionProblem(lengths: [33], heads: 2, kvHeads: 1, headSize: 256, dtype: .float32),
      AttentionProblem(lengths: [21, 2], heads: 3, kvHeads: 1, headSize: 64, dtype: .float16),
    ]

  /// Windows shorter and longer than tiles and sequences, and scores that caps bend.
  private static let limited: [AttentionProblem] =
    [64, 96, 128, 256].map {
      AttentionProblem(
        lengths: [1, 30, 65, 40], heads: 4, kvHeads: 2, headSize: $0, dtype: .bfloat16, window: 33,
        softCap: 1.5)
    } + [
      AttentionProblem(
        lengths: [150], heads: 2, kvHeads: 1, headSize: 64, dtype: .bfloat16, window: 5),
      AttentionProblem(
        lengths: [9, 33], heads: 4, kvHeads: 2, headSize: 24, dtype: .float32, window: 7,
        softCap: 1),
      AttentionProblem(
        lengths: [21], heads: 3, kvHeads: 1, headSize: 64, dtype: .float16, window: 100,
        softCap: 30),
    ]

  static let attentions: [BackendCase] =
    (problems + limited).map { problem in
      BackendCase("attention \(problem.name)", tolerance: problem.tolerance) {
        attend(problem, $0)
      }
    }
    + [1, 3, 12].flatMap { queries in
      [0, 9, 31].map { window in
        let name = "attention of \(queries) rows to a cache, window \(window)"
        return BackendCase(name, tolerance: rounding(.bfloat16)) {
          attendToCache($0, queries, window)
        }
      }
    } + pieces + prompts

  /// Few rows and more keys than a piece has: ends inside of pieces and at them, heads that leave
  /// lanes without an element, and a cache whose pieces are longer.
  private static let pieces: [BackendCase] = [
    (1, 64, 128, 0), (1, 256, 129, 0), (2, 96, 300, 0), (1, 128, 400, 150), (5, 48, 257, 128),
    (1, 24, 65, 0), (2, 40, 64, 0), (1, 80, 130, 70), (3, 104, 63, 0), (1, 8, 200, 0),
    (1, 16, 4_200, 0),
  ].flatMap { queries, headSize, keys, window in
    [DType.bfloat16, .float32].map { dtype in
      let name = "attention of \(queries) rows to \(keys) keys of \(headSize) \(dtype), "
        + "window \(window)"
      return BackendCase(name, tolerance: max(5e-6, rounding(dtype))) {
        attendToCache($0, queries, window, headSize: headSize, keyCount: keys, dtype)
      }
    }
  }

  /// Prompts that meet a cache: sizes of heads that tiles know, ends in tiles and at theirs.
  private static let prompts: [BackendCase] = [
    (16, 64, 31, 0), (65, 64, 130, 0), (64, 96, 64, 40), (70, 128, 191, 33), (33, 256, 70, 9),
  ].map { queries, headSize, keys, window in
    let name = "attention of a prompt of \(queries) to \(keys) keys of \(headSize), "
      + "window \(window)"
    // Weights are rounded, too.
    return BackendCase(name, tolerance: 2 * rounding(.bfloat16)) {
      attendToCache($0, queries, window, headSize: headSize, keyCount: keys)
    }
  }

  private static func attend(
    _ problem: AttentionProblem, _ backend: any Backend
  ) -> [Tensor] {
    let (rows, size) = (problem.rows, problem.headSize)
    let (wide, narrow) = ([rows, problem.heads * size], [rows, problem.kvHeads * size])
    let query = backend.seeded(Shape(wide), problem.dtype, seed: 61)
    let key = backend.seeded(Shape(narrow), problem.dtype, seed: 62)
    let value = backend.seeded(Shape(narrow), problem.dtype, seed: 63)
    let gradient = backend.seeded(Shape(wide), seed: 64)
    let output = backend.blank(Shape(wide), problem.dtype)
    let logSumExp = backend.blank([problem.heads, rows])
    backend.attention(
      query: query, key: key, value: value, layout: problem.layout, bounds: problem.bounds,
      into: output, logSumExp: logSumExp)
    let gradients = [wide, narrow, narrow].map { backend.blank(Shape($0)) }
    backend.attentionBackward(
      gradient, query: query, key: key, value: value, output: output, logSumExp: logSumExp,
      layout: problem.layout, bounds: problem.bounds, queryGradient: gradients[0],
      keyGradient: gradients[1], valueGradient: gradients[2])
    // With one key nothing depends on the query: both gradients are differences of equal terms.
    return rows == 1 ? [output, logSumExp, gradients[2]] : [output, logSumExp] + gradients
  }

  private static func attendToCache(
    _ backend: any Backend, _ queries: Int, _ window: Int, headSize: Int = 48, keyCount: Int = 31,
    _ dtype: DType = .bfloat16
  ) -> [Tensor] {
    let layout = AttentionLayout(
      heads: 4, kvHeads: 2, headSize: headSize, scale: 0.2, window: window,
      softCap: window > 0 ? 2 : 0)
    // The cache has room for more.
    let room = keyCount + 9
    let query = backend.seeded([queries, 4 * headSize], dtype, seed: 65)
    let keys = backend.seeded([room, 2 * headSize], dtype, seed: 66)
    let values = backend.seeded([room, 2 * headSize], dtype, seed: 67)
    let output = backend.blank([queries, 4 * headSize], dtype)
    backend.cachedAttention(
      query: query, keys: keys, values: values, keyCount: keyCount, layout: layout, into: output)
    return [output]
  }
}
