// Cases of what transformers of images ask for: rows that vectors of their sample modulate, and the
// loss of predicted numbers.
import QLoRATensor

private let types: [DType] = [.float32, .bfloat16, .float16]
/// Samples of no rows, of one, and of more than a block of sums has.
private let bounds = [0, 1, 1, 5, 24]

extension BackendCase {
  static let modulations: [BackendCase] =
    types.flatMap { dtype in
      [8, 64, 257, 1_032, 4_097].flatMap { [norm(dtype, width: $0), gate(dtype, width: $0)] }
    } + types.flatMap { dtype in [5, 3].map { pairRotation(dtype, pairs: $0) } }
    + types.flatMap { dtype in ElementFunction.allCases.map { function($0, dtype) } }
    + types.map(errors) + [columnCopies]

  /// Sums of a row, and of a sample's rows, in another order.
  private static func norm(_ dtype: DType, width: Int) -> BackendCase {
    let tolerance = max(4e-6, rounding(dtype))
    return BackendCase("modulated norm \(dtype) \(width)", tolerance: tolerance) { backend in
      let (rows, samples) = (bounds[bounds.count - 1], bounds.count - 1)
      let input = backend.seeded([rows, width], dtype, seed: 141)
      let shift = backend.seeded([samples, width], seed: 142)
      let scale = backend.seeded([samples, width], seed: 143)
      let gradient = backend.seeded([rows, width], seed: 144)
      let output = backend.blank([rows, width], dtype)
      let statistics = backend.blank([rows, 2])
      backend.modulatedNorm(
        input, shift: shift, scale: scale, bounds: bounds, epsilon: 1e-6, into: output,
        statistics: statistics)
      let inputGradient = backend.seeded([rows, width], seed: 145)
      let fresh = backend.blank([rows, width])
      let vectors = [0, 1].map { _ in backend.blank([samples, width]) }
      for (target, accumulating) in [(inputGradient, true), (fresh, false)] {
        backend.modulatedNormBackward(
          gradient, input: input, scale: scale, statistics: statistics, bounds: bounds,
          inputGradient: target, accumulating: accumulating,
          shiftGradient: accumulating ? vectors[0] : nil,
          scaleGradient: accumulating ? nil : vectors[1])
      }
      backend.modulatedNormBackward(
        gradient, input: input, scale: scale, statistics: statistics, bounds: bounds,
        inputGradient: nil, accumulating: false, shiftGradient: nil, scaleGradient: nil)
      return [output, statistics, inputGradient, fresh] + vectors
    }
  }

  private static func gate(_ dtype: DType, width: Int) -> BackendCase {
    let tolerance = max(2e-6, rounding(dtype))
    return BackendCase("gated add \(dtype) \(width)", tolerance: tolerance) { backend in
      let (rows, samples) = (bounds[bounds.count - 1], bounds.count - 1)
      let residual = backend.seeded([rows, width], dtype, seed: 151)
      let values = backend.seeded([rows, width], dtype, seed: 152)
      let gate = backend.seeded([samples, width], seed: 153)
      let gradient = backend.seeded([rows, width], seed: 154)
      let output = backend.blank([rows, width], dtype)
      backend.gatedAdd(residual, values, gate: gate, bounds: bounds, into: output)
      let (valuesGradient, gateGradient) = (
        backend.blank([rows, width]), backend.blank([samples, width])
      )
      backend.gatedAddBackward(
        gradient, values: values, gate: gate, bounds: bounds, valuesGradient: nil,
        gateGradient: gateGradient)
      backend.gatedAddBackward(
        gradient, values: nil, gate: gate, bounds: bounds, valuesGradient: valuesGradient,
        gateGradient: nil)
      return [output, valuesGradient, gateGradient]
    }
  }

  private static func pairRotation(_ dtype: DType, pairs: Int) -> BackendCase {
    let tolerance = max(2e-7, rounding(dtype))
    return BackendCase("pair rotary \(dtype) \(pairs) pairs", tolerance: tolerance) { backend in
      let (rows, heads, size) = (7, 3, 10)
      let tensor = backend.seeded([rows, heads * size], dtype, seed: 161)
      let cosines = backend.seeded([9, pairs], seed: 162)
      let sines = backend.seeded([9, pairs], seed: 163)
      for inverse in [false, true] {
        backend.pairRotary(
          tensor, headSize: size, positions: [0, 1, 2, 0, 8, 3, 3], cosines: cosines,
          sines: sines, inverse: inverse)
      }
      return [tensor]
    }
  }

  /// exp and tanh differ between libraries in their last places.
  private static func function(_ function: ElementFunction, _ dtype: DType) -> BackendCase {
    let tolerance = max(2e-6, rounding(dtype))
    return BackendCase("\(function) of elements \(dtype)", tolerance: tolerance) { backend in
      [1, 257, 5_000].flatMap { count in
        let input = backend.seeded([count], dtype, seed: 164, scale: 4)
        let gradient = backend.seeded([count], seed: 165)
        let output = backend.blank([count], dtype)
        backend.apply(function, to: input, into: output)
        // The input's gradient may take the place of the output's.
        backend.applyBackward(function, gradient, input: input, inputGradient: gradient)
        return [output, gradient]
      }
    }
  }

  /// Errors and sums are in double precision.
  private static func errors(_ dtype: DType) -> BackendCase {
    BackendCase("squared error \(dtype)", tolerance: 1e-6) { backend in
      [1, 64, 257].flatMap { width in
        let rows = bounds[bounds.count - 1]
        let prediction = backend.seeded([rows, width], dtype, seed: 166)
        let target = backend.seeded([rows, width], seed: 167)
        let gradient = backend.blank([rows, width])
        let losses = [gradient, nil].map {
          backend.squaredError(
            prediction, target: target, weights: [0.5, 1, 2, 0.25], bounds: bounds, gradient: $0)
        }
        return [gradient, Tensor(losses.map { Float($0) }, shape: [2])]
      }
    }
  }

  private static let columnCopies = BackendCase("copied columns", tolerance: 0) { backend in
    types.flatMap { from in
      types.map { to in
        let input = backend.seeded([11, 40], from, seed: 168)
        let output = backend.seeded([11, 33], to, seed: 169)
        backend.copyColumns(input, column: 7, count: 24, into: output, outputColumn: 9)
        return output
      }
    }
  }
}
