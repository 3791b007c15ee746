// The operations on pixels and scores on every instruction set against their scalar definitions in
// double precision.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

struct PixelKernelTests {
  static let widths = [1, 7, 16, 31, 48, 97, 512]

  @Test(arguments: CPUBackend.instructionSets, widths)
  func logistic(_ instructionSet: String, _ count: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 81)
    for (function, steepness) in [(ElementFunction.silu, 1.0), (.geluSigmoid, 1.702)] {
      for type in [DType.float32, .bfloat16] {
        let input = GuardedTensor(random.normals(count).map { 4 * $0 }, [count], type)
        let output = GuardedTensor([count], type)
        backend.apply(function, to: input.tensor, into: output.tensor)
        let expected = input.tensor.floats().map { x in
          Double(x) / (1 + exp(-Double(Float(steepness)) * Double(x)))
        }
        let limit = type == .float32 ? 1e-6 : bfloat16Rounding
        #expect(relativeError(output.tensor.floats(), expected) < limit)
        #expect(input.isIntact && output.isIntact)
      }
    }
  }

  /// Pixels around the chunk whose sums are in float32, and a mean a hundred deviations from zero.
  @Test(arguments: CPUBackend.instructionSets, [1, 63, 64, 65, 200])
  func groupNorm(_ instructionSet: String, _ pixels: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 82)
    for (channels, groups) in [(1, 1), (6, 3), (32, 32), (96, 4)] {
      for (activates, type) in [(false, DType.float32), (true, .float32), (true, .bfloat16)] {
        let shape: Shape = [pixels, channels]
        let input = GuardedTensor(random.normals(shape.count).map { 100 + $0 }, shape)
        let weight = Tensor(random.normals(channels), shape: [channels])
        let bias = Tensor(random.normals(channels), shape: [channels])
        let output = GuardedTensor(shape, type)
        backend.groupNorm(
          input.tensor, groups: groups, weight: weight, bias: bias, epsilon: 1e-4,
          activates: activates, into: output.tensor)
        let expected = normalized(
          input.tensor.floats(), channels, groups, weight.floats(), bias.floats(), activates)
        let limit = type == .float32 ? 1e-5 : bfloat16Rounding + 1e-5
        #expect(relativeError(output.tensor.floats(), expected) < limit)
        #expect(input.isIntact && output.isIntact)
      }
    }
  }

  private func normalized(
    _ x: [Float], _ channels: Int, _ groups: Int, _ weight: [Float], _ bias: [Float],
    _ activates: Bool
  ) -> [Double] {
    let width = channels / groups
    var result = x.map(Double.init)
    for group in 0..<groups {
      let members = x.indices.filter { $0 % channels / width == group }
      let mean = members.reduce(0) { $0 + Double(x[$1]) } / Double(members.count)
      let variance =
        members.reduce(0) { $0 + pow(Double(x[$1]) - mean, 2) } / Double(members.count)
      for index in members {
        let normal = (Double(x[index]) - mean) / (variance + Double(Float(1e-4))).squareRoot()
        let y = normal * Double(weight[index % channels]) + Double(bias[index % channels])
        result[index] = activates ? y / (1 + exp(-y)) : y
      }
    }
    return result
  }

  @Test(arguments: CPUBackend.instructionSets, widths)
  func biasedSoftmax(_ instructionSet: String, _ keys: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 83)
    let (first, queries) = (keys / 2, keys - keys / 2)
    for (isBiased, type) in [(true, DType.float32), (false, .float32), (true, .bfloat16)] {
      let scores = GuardedTensor(random.normals(queries * keys), [queries, keys])
      let plain = scores.tensor.floats().map(Double.init)
      let biases = Tensor(random.normals(2 * keys - 1), shape: [2 * keys - 1])
      let output = GuardedTensor([queries, keys], type)
      backend.biasedSoftmax(
        scores.tensor, scale: 3, biases: isBiased ? biases : nil, first: first,
        into: output.tensor)
      var expected: [Double] = []
      for query in 0..<queries {
        let row = (0..<keys).map { key in
          let bias = isBiased ? Double(biases[flat: key - first - query + keys - 1]) : 0
          return exp(3 * plain[query * keys + key] + bias)
        }
        expected += row.map { $0 / row.reduce(0, +) }
      }
      let limit = type == .float32 ? 2e-6 : bfloat16Rounding
      #expect(relativeError(output.tensor.floats(), expected) < limit)
      #expect(scores.isIntact && output.isIntact)
    }
  }

  @Test func windowsOfHalfSizeAreTheSameBits() throws {
    let backend = try CPUBackend(threads: 2)
    var random = SeededGenerator(seed: 85)
    let window = ImageWindow(height: 3, width: 5, channels: 7, size: 3, padding: 1)
    let image = Tensor(random.normals(15 * 7), [15, 7], .bfloat16)
    let narrow = GuardedTensor([15, 63], .bfloat16)
    let whole = GuardedTensor([15, 63])
    backend.windows(image, window, pixels: 0..<15, into: narrow.tensor)
    backend.windows(
      Tensor(image.floats(), shape: [15, 7]), window, pixels: 0..<15, into: whole.tensor)
    #expect(narrow.tensor.floats() == whole.tensor.floats())
    #expect(narrow.isIntact && whole.isIntact)
  }

  @Test func threadsChangeNothing() throws {
    var random = SeededGenerator(seed: 86)
    let image = Tensor(random.normals(1000 * 64), shape: [1000, 64])
    let weight = Tensor(random.normals(64), shape: [64])
    let results = try [1, 2, 4].map { threads in
      let backend = try CPUBackend(threads: threads)
      let output = Tensor(uninitialized: [1000, 64], .float32)
      backend.groupNorm(
        image, groups: 8, weight: weight, bias: weight, epsilon: 1e-6, activates: true,
        into: output)
      return output.floats()
    }
    #expect(results[1] == results[0] && results[2] == results[0])
  }
}
