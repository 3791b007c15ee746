// Cases of what families of models beside Llama's ask for: GELU, caps, layer norms, joined columns.
import QLoRATensor

private let types: [DType] = [.float32, .bfloat16, .float16]

extension BackendCase {
  static let gelus: [BackendCase] =
    types.flatMap { dtype in
      [Activation.gelu, .geluTanh].flatMap { activation in
        [1, 257, 5_000].map { gelu(dtype, activation, $0) }
      }
    } + [caps]

  /// exp and erfc differ between libraries in their last places.
  private static func gelu(
    _ dtype: DType, _ activation: Activation, _ count: Int
  ) -> BackendCase {
    let tolerance = max(2e-6, rounding(dtype))
    return BackendCase("\(activation) \(dtype) \(count)", tolerance: tolerance) { backend in
      let gate = backend.seeded([count], dtype, seed: 111, scale: 4)
      let up = backend.seeded([count], dtype, seed: 112)
      let gradient = backend.seeded([count], seed: 113)
      let (output, alone) = (backend.blank([count], dtype), backend.blank([count], dtype))
      backend.geluMultiply(gate, up, activation, into: output)
      backend.geluMultiply(gate, nil, activation, into: alone)
      let upGradient = backend.blank([count])
      let aloneGradient = backend.blank([count])
      backend.geluMultiplyBackward(
        gradient, gate: gate, up: nil, activation, gateGradient: aloneGradient, upGradient: nil)
      // The gate's gradient may take the place of the output's.
      backend.geluMultiplyBackward(
        gradient, gate: gate, up: up, activation, gateGradient: gradient, upGradient: upGradient)
      return [output, alone, aloneGradient, gradient, upGradient]
    }
  }

  private static let caps = BackendCase("cap", tolerance: 1e-6) { backend in
    let x = backend.seeded([1_025], seed: 114, scale: 40)
    backend.cap(x, at: 30)
    return [x]
  }

  // MARK: Layer norms

  static let layerNorms: [BackendCase] = types.flatMap { dtype in
    [(1, 8), (3, 64), (5, 257), (2, 4_097), (2, 4_168)].map {
      layerNorm(dtype, rows: $0.0, width: $0.1)
    }
  }

  /// Sums of a row in another order.
  private static func layerNorm(_ dtype: DType, rows: Int, width: Int) -> BackendCase {
    let tolerance = max(3e-6, rounding(dtype))
    return BackendCase("layer norm \(dtype) \(rows)x\(width)", tolerance: tolerance) { backend in
      let input = backend.seeded([rows, width], dtype, seed: 121)
      let weight = backend.seeded([width], seed: 122)
      let bias = backend.seeded([width], seed: 123)
      let gradient = backend.seeded([rows, width], seed: 124)
      let output = backend.blank([rows, width], dtype)
      let statistics = backend.blank([rows, 2])
      backend.layerNorm(
        input, weight: weight, bias: bias, epsilon: 1e-5, into: output, statistics: statistics)
      let inputGradient = backend.seeded([rows, width], seed: 125)
      let fresh = backend.blank([rows, width])
      for (target, accumulating) in [(inputGradient, true), (fresh, false)] {
        backend.layerNormBackward(
          gradient, input: input, weight: weight, statistics: statistics, inputGradient: target,
          accumulating: accumulating)
      }
      return [output, statistics, inputGradient, fresh]
    }
  }

  // MARK: Columns

  static let columns = [
    BackendCase("split and join", tolerance: 0) { backend in
      let widths = [24, 7, 9]
      let parts = types.flatMap { dtype in
        let outputs = widths.map { backend.blank([11, $0], dtype) }
        backend.split(backend.seeded([11, 40], dtype, seed: 131), widths: widths, into: outputs)
        return outputs
      }
      // Rows may be heads of a tensor's rows.
      let joined = backend.blank([1, 440])
      backend.join(Array(parts[0..<3]), widths: widths, into: joined)
      return parts + [joined]
    }
  ]
}
