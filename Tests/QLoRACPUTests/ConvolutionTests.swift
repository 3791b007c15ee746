// A convolution as the backend computes it beside its definition, and beside unrolled windows.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

struct ConvolutionTests {
  struct Case: CustomTestStringConvertible {
    var height: Int
    var width: Int
    var channels: Int
    var outputs: Int
    var size = 3
    var stride = 1
    var enlargement = 1
    var type = DType.bfloat16

    var testDescription: String {
      "\(height)x\(width)x\(channels) to \(outputs), \(size), \(stride), \(enlargement), \(type)"
    }
  }

  /// Rows shorter and longer than a strip, several blocks of outputs, one that is not whole, and
  /// what no matrix unit takes.
  static let cases = [
    Case(height: 7, width: 9, channels: 32, outputs: 40),
    Case(height: 5, width: 33, channels: 64, outputs: 96),
    Case(height: 9, width: 32, channels: 32, outputs: 3),
    Case(height: 4, width: 70, channels: 96, outputs: 64, size: 1),
    Case(height: 8, width: 6, channels: 32, outputs: 32, enlargement: 2),
    Case(height: 8, width: 12, channels: 32, outputs: 8, stride: 2),
    Case(height: 6, width: 11, channels: 20, outputs: 8),
    Case(height: 6, width: 11, channels: 32, outputs: 8, type: .float32),
    Case(height: 5, width: 4, channels: 3, outputs: 2, enlargement: 2, type: .float32),
  ]

  private struct Problem {
    let window: ImageWindow
    let input: Tensor
    let weights: Tensor
    let bias: Tensor

    init(_ shape: Case) {
      var random = SeededGenerator(seed: 91)
      window = ImageWindow(
        height: shape.height * shape.enlargement, width: shape.width * shape.enlargement,
        channels: shape.channels, size: shape.size, padding: shape.stride == 1 ? shape.size / 2 : 0,
        stride: shape.stride, enlargement: shape.enlargement)
      let pixels = shape.height * shape.width
      let depth = shape.size * shape.size * shape.channels
      input = Tensor(
        random.normals(pixels * shape.channels), [pixels, shape.channels], shape.type)
      weights = Tensor(random.normals(shape.outputs * depth), [shape.outputs, depth], shape.type)
      bias = Tensor(random.normals(shape.outputs), shape: [shape.outputs])
    }

    var places: Int { window.places.rows * window.places.columns }

    func run(
      threads: Int,
      _ convolve: (CPUBackend, any PreparedWeight, Tensor) -> Void
    ) throws -> [Float] {
      let backend = try CPUBackend(threads: threads)
      let builder = try backend.makeWeightBuilder(
        outFeatures: weights.shape[0], inFeatures: weights.shape[1], .dense(weights.dtype))
      try weights.floats().withUnsafeBufferPointer { try builder.append($0) }
      let output = GuardedTensor([places, weights.shape[0]])
      convolve(backend, try builder.finish(), output.tensor)
      #expect(output.isIntact)
      return output.tensor.floats()
    }

    /// The definition in double precision: a sum over the window's pixels and channels.
    func expected() -> [Double] {
      let (pixels, factors) = (input.floats(), weights.floats())
      let (size, channels, depth) = (window.size, window.channels, weights.shape[1])
      let line = window.width / window.enlargement
      return (0..<places * weights.shape[0]).map { index in
        let (place, output) = index.quotientAndRemainder(dividingBy: weights.shape[0])
        let (y, x) = place.quotientAndRemainder(dividingBy: window.places.columns)
        var sum = Double(bias.floats()[output])
        for tap in 0..<size * size {
          let row = y * window.stride - window.padding + tap / size
          let column = x * window.stride - window.padding + tap % size
          guard 0..<window.height ~= row, 0..<window.width ~= column else { continue }
          let pixel = row / window.enlargement * line + column / window.enlargement
          for channel in 0..<channels {
            sum += Double(pixels[pixel * channels + channel])
              * Double(factors[output * depth + tap * channels + channel])
          }
        }
        return sum
      }
    }
  }

  @Test(arguments: cases)
  func isItsDefinition(_ shape: Case) throws {
    let problem = Problem(shape)
    let found = try problem.run(threads: 2) { backend, weight, output in
      backend.convolve(
        problem.input, problem.window, weight: weight, bias: problem.bias, into: output)
    }
    #expect(relativeError(found, problem.expected()) < 1e-6)
  }

  @Test(arguments: cases)
  func isTheSameBitsAsUnrolled(_ shape: Case) throws {
    let problem = Problem(shape)
    let unrolled = try problem.run(threads: 1) { backend, weight, output in
      backend.convolveUnrolled(
        problem.input, problem.window, weight: weight, bias: problem.bias, into: output)
    }
    for threads in [1, 2, 3] {
      let found = try problem.run(threads: threads) { backend, weight, output in
        backend.convolve(
          problem.input, problem.window, weight: weight, bias: problem.bias, into: output)
      }
      #expect(found == unrolled)
    }
  }
}
