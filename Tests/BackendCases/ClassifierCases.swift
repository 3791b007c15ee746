// Cases of heads that are trained as a whole.
import QLoRATensor

extension BackendCase {
  static let classifiers: [BackendCase] =
    [DType.float32, .bfloat16, .float16].flatMap { dtype in
      [(1, 2, 8), (5, 3, 64), (33, 70, 40), (9, 600, 24)].map { rows, outs, width in
        dense(dtype, rows, outs, width)
      }
    } + [(1, 2), (5, 3), (7, 600)].map { losses(rows: $0.0, classes: $0.1) }

  /// Products and sums in float32, in another order.
  private static func dense(
    _ dtype: DType, _ rows: Int, _ outs: Int, _ width: Int
  ) -> BackendCase {
    BackendCase("dense linear \(dtype) \(rows)x\(outs)x\(width)", tolerance: 5e-6) { backend in
      let input = backend.seeded([rows, width], dtype, seed: 181)
      let weight = backend.seeded([outs, width], seed: 182)
      let bias = backend.seeded([outs], seed: 183)
      let gradient = backend.seeded([rows, outs], seed: 184)
      return [bias, nil].flatMap { bias in
        let output = backend.blank([rows, outs])
        backend.denseLinear(input, weight: weight, bias: bias, into: output)
        let inputGradient = backend.blank([rows, width])
        // Those of weight and bias are added to.
        let weightGradient = backend.seeded([outs, width], seed: 185)
        let biasGradient = bias.map { _ in backend.seeded([outs], seed: 186) }
        backend.denseLinearBackward(
          gradient, input: input, weight: weight, inputGradient: inputGradient,
          weightGradient: weightGradient, biasGradient: biasGradient)
        backend.denseLinearBackward(
          gradient, input: input, weight: weight, inputGradient: nil,
          weightGradient: weightGradient, biasGradient: nil)
        return [output, inputGradient, weightGradient] + [biasGradient].compactMap { $0 }
      }
    }
  }

  /// exp in float32, where the reference has double precision for few classes: a probability near 1
  /// leaves few digits of its difference from 1, so scores lie near one another here.
  private static func losses(rows: Int, classes: Int) -> BackendCase {
    BackendCase("cross entropy of \(rows)x\(classes)", tolerance: 2e-6) { backend in
      let logits = backend.seeded([rows, classes], seed: 187)
      let targets = (0..<rows).map { Int32($0 * 7 % classes) }
      let gradient = backend.blank([rows, classes])
      let sums = [gradient, nil].map {
        Float(backend.crossEntropy(logits, targets: targets, gradient: $0))
      }
      return [gradient, Tensor(sums, shape: [2])]
    }
  }
}
