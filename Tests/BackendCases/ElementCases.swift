// Cases of element-wise operations, copies and norms.
import QLoRATensor

private let types: [DType] = [.float32, .bfloat16, .float16]
/// Around a thread's, a warp's and a block's worth of elements.
private let counts = [1, 31, 256, 257, 5_000]

extension BackendCase {
  static let elements: [BackendCase] =
    types.flatMap { dtype in counts.map { activation(dtype, $0) } }
    + types.flatMap { from in types.map { conversion(from, $0) } } + [sums, scaling]

  /// exp differs between libraries in its last places, which a narrow type may round apart.
  private static func activation(_ dtype: DType, _ count: Int) -> BackendCase {
    BackendCase("silu \(dtype) \(count)", tolerance: max(2e-6, rounding(dtype))) { backend in
      let gate = backend.seeded([count], dtype, seed: 1, scale: 4)
      let up = backend.seeded([count], dtype, seed: 2)
      let gradient = backend.seeded([count], seed: 3)
      let output = backend.blank([count], dtype)
      backend.siluMultiply(gate, up, into: output)
      let upGradient = backend.blank([count])
      // The gate's gradient may take the place of the output's.
      backend.siluMultiplyBackward(
        gradient, gate: gate, up: up, gateGradient: gradient, upGradient: upGradient)
      return [output, gradient, upGradient]
    }
  }

  private static func conversion(_ from: DType, _ to: DType) -> BackendCase {
    BackendCase("convert \(from) to \(to)", tolerance: 0) { backend in
      // Subnormals and infinities of float16 among them.
      let input = backend.seeded([3_001], from, seed: 5, scale: from == .float32 ? 1e4 : 1)
      backend.scale(input, by: 1e-3)
      let output = backend.blank([3_001], to)
      backend.convert(input, into: output)
      return [input, output]
    }
  }

  private static let sums = BackendCase("add", tolerance: 0) { backend in
    types.flatMap { left in
      types.map { right in
        let x = backend.seeded([777], left, seed: 8)
        let y = backend.seeded([777], right, seed: 9)
        // The output may be either of them.
        backend.add(x, y, into: x)
        return x
      }
    }
  }

  private static let scaling = BackendCase("scale", tolerance: 0) { backend in
    types.map { dtype in
      let x = backend.seeded([1_025], dtype, seed: 10)
      backend.scale(x, by: 0.3)
      return x
    }
  }

  // MARK: Rows

  static let rows: [BackendCase] =
    types.flatMap { dtype in
      [(1, 8), (3, 64), (5, 257), (2, 4_097), (11, 1_048), (2, 4_168)].map {
        norm(dtype, rows: $0.0, width: $0.1)
      }
    } + types.flatMap { dtype in [5, 3, 16].map { rotation(dtype, pairs: $0) } } + [sumsOfSquares]

  /// Sums of a row in another order.
  private static func norm(_ dtype: DType, rows: Int, width: Int) -> BackendCase {
    let tolerance = max(3e-6, rounding(dtype))
    return BackendCase("rms norm \(dtype) \(rows)x\(width)", tolerance: tolerance) { backend in
      let input = backend.seeded([rows, width], dtype, seed: 11)
      let weight = backend.seeded([width], seed: 12)
      let gradient = backend.seeded([rows, width], seed: 13)
      let output = backend.blank([rows, width], dtype)
      let inverse = backend.blank([rows])
      backend.rmsNorm(input, weight: weight, epsilon: 1e-5, into: output, inverseRMS: inverse)
      let inputGradient = backend.seeded([rows, width], seed: 14)
      let fresh = backend.blank([rows, width])
      for (target, accumulating) in [(inputGradient, true), (fresh, false)] {
        backend.rmsNormBackward(
          gradient, input: input, weight: weight, inverseRMS: inverse, inputGradient: target,
          accumulating: accumulating)
      }
      return [output, inverse, inputGradient, fresh]
    }
  }

  private static func rotation(_ dtype: DType, pairs: Int) -> BackendCase {
    let tolerance = max(2e-7, rounding(dtype))
    return BackendCase("rotary \(dtype) \(pairs) pairs", tolerance: tolerance) { backend in
      let (rows, heads, size) = (7, 3, pairs < 16 ? 10 : 40)
      let tensor = backend.seeded([rows, heads * size], dtype, seed: 15)
      let cosines = backend.seeded([9, pairs], seed: 16)
      let sines = backend.seeded([9, pairs], seed: 17)
      let positions: [Int32] = [0, 1, 2, 0, 8, 3, 3]
      for inverse in [false, true] {
        backend.rotary(
          tensor, headSize: size, positions: positions, cosines: cosines, sines: sines,
          inverse: inverse)
      }
      return [tensor]
    }
  }

  private static let sumsOfSquares = BackendCase("sum of squares", tolerance: 1e-7) { backend in
    [0, 1, 4_096, 4_097, 70_000].map { count in
      let sum = backend.sumOfSquares(backend.seeded([count], seed: 18))
      return Tensor([Float(sum)], shape: [1])
    }
  }
}
