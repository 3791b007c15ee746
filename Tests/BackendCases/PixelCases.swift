// Cases of images as rows of pixels: windows, convolutions, group norms, and scores in memory.
import QLoRATensor

private let types: [DType] = [.float32, .bfloat16, .float16]

extension BackendCase {
  static let pixels: [BackendCase] =
    types.map(windows) + [DType.float32, .bfloat16].map(convolution)
    + types.flatMap { dtype in
      [(1, 8, 2), (255, 12, 3), (600, 64, 32)].map { norm(dtype, $0.0, channels: $0.1, $0.2) }
    }
    + types.flatMap { dtype in [1, 31, 256, 1_000].map { softmax(dtype, keys: $0) } }

  /// Borders, steps of more than one pixel, enlarged images.
  private static let shapes = [
    ImageWindow(height: 5, width: 7, channels: 3, size: 3, padding: 1),
    ImageWindow(height: 8, width: 6, channels: 5, size: 2, padding: 0, stride: 2),
    ImageWindow(height: 6, width: 10, channels: 4, size: 3, padding: 1, enlargement: 2),
    ImageWindow(height: 8, width: 8, channels: 8, size: 3, padding: 0, stride: 2),
    ImageWindow(height: 4, width: 4, channels: 9, size: 1, padding: 0),
  ]

  private static func image(
    _ window: ImageWindow, _ dtype: DType, _ backend: any Backend
  ) -> Tensor {
    let pixels = window.height * window.width / (window.enlargement * window.enlargement)
    return backend.seeded([pixels, window.channels], dtype, seed: 171)
  }

  private static func windows(_ dtype: DType) -> BackendCase {
    BackendCase("windows \(dtype)", tolerance: 0) { backend in
      shapes.map { window in
        let places = window.places.rows * window.places.columns
        let output = backend.blank(
          [places - 2, window.size * window.size * window.channels], dtype)
        backend.windows(
          image(window, dtype, backend), window, pixels: 1..<places - 1, into: output)
        return output
      }
    }
  }

  /// bf16 multiplies rounded factors and sums in float32, as the reference does.
  private static func convolution(_ dtype: DType) -> BackendCase {
    BackendCase("convolution \(dtype)", tolerance: max(2e-6, rounding(dtype))) { backend in
      try shapes.map { window in
        let weight = try backend.seededWeight(
          6, window.size * window.size * window.channels, .dense(.bfloat16), seed: 172)
        let output = backend.blank([window.places.rows * window.places.columns, 6])
        backend.convolve(
          image(window, dtype, backend), window, weight: weight,
          bias: backend.seeded([6], seed: 173), into: output)
        return output
      }
    }
  }

  /// Means far from zero, whose sums the reference rounds for every 64 pixels.
  private static func norm(
    _ dtype: DType, _ pixels: Int, channels: Int, _ groups: Int
  ) -> BackendCase {
    let tolerance = max(4e-6, rounding(dtype))
    let name = "group norm \(dtype) \(pixels)x\(channels) in \(groups)"
    return BackendCase(name, tolerance: tolerance) { backend in
      let input = backend.seeded([pixels, channels], seed: 174)
      let far = Tensor([Float](repeating: 20, count: input.count), shape: input.shape)
      backend.add(input, far, into: input)
      let weight = backend.seeded([channels], seed: 175)
      let bias = backend.seeded([channels], seed: 176)
      return [false, true].map { activates in
        let output = backend.blank([pixels, channels], dtype)
        backend.groupNorm(
          input, groups: groups, weight: weight, bias: bias, epsilon: 1e-6,
          activates: activates, into: output)
        return output
      }
    }
  }

  private static func softmax(_ dtype: DType, keys: Int) -> BackendCase {
    let name = "softmax of scores \(dtype) \(keys)"
    return BackendCase(name, tolerance: max(2e-6, rounding(dtype))) { backend in
      let (rows, first) = ((keys + 1) / 2, keys / 3)
      let biases = backend.seeded([2 * keys - 1], seed: 177)
      return [biases, nil].map { biases in
        let output = backend.blank([rows, keys], dtype)
        backend.biasedSoftmax(
          backend.seeded([rows, keys], seed: 178), scale: 0.7, biases: biases, first: first,
          into: output)
        return output
      }
    }
  }
}
