// Cases of experts: routing, and the rows that go to them and come back.
import QLoRATensor

extension BackendCase {
  static let experts: [BackendCase] =
    [(1, 1, 1), (5, 8, 2), (17, 40, 6), (3, 128, 8)].flatMap { tokens, count, chosen in
      [false, true].map { routing(tokens: tokens, count, chosen, isNormalized: $0) }
    } + [ties] + [DType.float32, .bfloat16, .float16].map(rows)

  /// Sums of exponentials in another order.
  private static func routing(
    tokens: Int, _ count: Int, _ chosen: Int, isNormalized: Bool
  ) -> BackendCase {
    let name = "route \(tokens) tokens to \(chosen) of \(count), normalized \(isNormalized)"
    return BackendCase(name, tolerance: 3e-6) { backend in
      let logits = backend.seeded([tokens, count], seed: 141, scale: 2)
      let weights = backend.blank([tokens, chosen])
      let experts = backend.route(
        logits, chosen: chosen, isNormalized: isNormalized, into: weights)
      let gradient = backend.blank([tokens, count])
      backend.routeBackward(
        backend.seeded([tokens, chosen], seed: 142), logits: logits, experts: experts,
        weights: weights, isNormalized: isNormalized, logitGradient: gradient)
      let found = Tensor(experts.map(Float.init), shape: [tokens, chosen])
      // A choice of one has no slope: its gradient is a difference of equal terms.
      return count == 1 ? [found, weights] : [found, weights, gradient]
    }
  }

  private static let ties = BackendCase("route equals", tolerance: 1e-6) { backend in
    let logits = Tensor([1, 3, 3, 1, 3, 0, 0, 0, 0, 0], shape: [2, 5])
    let weights = backend.blank([2, 4])
    let experts = backend.route(logits, chosen: 4, isNormalized: true, into: weights)
    return [Tensor(experts.map(Float.init), shape: [2, 4]), weights]
  }

  private static func rows(_ dtype: DType) -> BackendCase {
    BackendCase("rows of experts \(dtype)", tolerance: max(2e-6, rounding(dtype))) { backend in
      let (tokens, chosen, width) = (7, 3, 300)
      let input = backend.seeded([tokens * chosen, width], dtype, seed: 151)
      let places = (0..<tokens * chosen).map { Int32($0 * 8 % (tokens * chosen)) }
      let weights = backend.seeded([tokens, chosen], seed: 152)
      let gathered = backend.blank([5, width], dtype)
      backend.gatherRows(input, [20, 0, 3, 3, 7], into: gathered)
      let sum = backend.blank([tokens, width], dtype)
      backend.weightedRows(
        input, places: places, weights: weights, into: sum, accumulating: false)
      let more = backend.seeded([tokens, width], seed: 153)
      backend.weightedRows(input, places: places, weights: nil, into: more, accumulating: true)
      let gradients = [
        backend.blank([tokens * chosen, width]), backend.blank([tokens, chosen]),
      ]
      backend.weightedRowsBackward(
        backend.seeded([tokens, width], seed: 154), input: input, places: places,
        weights: weights, inputGradient: gradients[0], weightGradient: gradients[1])
      return [gathered, sum, more] + gradients
    }
  }
}
