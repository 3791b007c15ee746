// Norms and rotary on every instruction set against double precision.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

private let activationTypes: [DType] = [.float32, .bfloat16]

struct RowKernelsTests {
  static let widths = [1, 7, 16, 47, 48, 49, 97, 512, 576]

  @Test(arguments: CPUBackend.instructionSets, widths)
  func rmsNorm(_ instructionSet: String, _ width: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 3)
    let shape: Shape = [70, width]
    for inputType in activationTypes {
      for outputType in activationTypes {
        for weightType in activationTypes {
          let input = GuardedTensor(random.normals(shape.count), shape, inputType)
          let weight = Tensor(random.normals(width), [width], weightType)
          let output = GuardedTensor(shape, outputType)
          let inverse = GuardedTensor([70])
          backend.rmsNorm(
            input.tensor, weight: weight, epsilon: 1e-5, into: output.tensor,
            inverseRMS: inverse.tensor)
          let x = input.tensor.floats().map(Double.init)
          let w = weight.floats().map(Double.init)
          let inverses = (0..<70).map { row in
            let squares = x[(row * width)..<((row + 1) * width)].reduce(0) { $0 + $1 * $1 }
            return 1 / (squares / Double(width) + Double(Float(1e-5))).squareRoot()
          }
          let expected = x.indices.map { x[$0] * inverses[$0 / width] * w[$0 % width] }
          let limit = outputType == .float32 ? 1e-6 : bfloat16Rounding
          #expect(relativeError(output.tensor.floats(), expected) < limit)
          #expect(relativeError(inverse.tensor.floats(), inverses) < 1e-6)
          #expect(input.isIntact && output.isIntact && inverse.isIntact)
        }
      }
    }
  }

  @Test(arguments: CPUBackend.instructionSets, widths)
  func rmsNormBackward(_ instructionSet: String, _ width: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 4)
    let shape: Shape = [5, width]
    for types in 0..<4 {
      let input = Tensor(random.normals(shape.count), shape, activationTypes[types & 1])
      let weight = Tensor(random.normals(width), [width], activationTypes[types >> 1])
      let dy = Tensor(random.normals(shape.count), shape, .float32)
      let (x, w) = (input.floats().map(Double.init), weight.floats().map(Double.init))
      let g = dy.floats().map(Double.init)
      let inverses = (0..<5).map { row in
        let squares = x[(row * width)..<((row + 1) * width)].reduce(0) { $0 + $1 * $1 }
        return 1 / (squares / Double(width) + 1e-5).squareRoot()
      }
      let expected = x.indices.map { index -> Double in
        let (row, r) = (index / width, inverses[index / width])
        let sum = (0..<width).reduce(0.0) { $0 + g[row * width + $1] * w[$1] * x[row * width + $1] }
        return r * g[index] * w[index % width] - x[index] * r * r * r * sum / Double(width)
      }
      let gradient = GuardedTensor(shape)
      let kept = Tensor(inverses.map(Float.init), [5], .float32)
      for (accumulating, times) in [(false, 1.0), (true, 2.0)] {
        backend.rmsNormBackward(
          dy, input: input, weight: weight, inverseRMS: kept, inputGradient: gradient.tensor,
          accumulating: accumulating)
        // With one element the two terms cancel all but ε, so their size sets the scale.
        let scale = x.indices.map { abs(inverses[$0 / width] * g[$0] * w[$0 % width]) }.max()!
        let found = gradient.tensor.floats()
        #expect(relativeError(found, expected.map { $0 * times }, floor: scale) < 1e-6)
        #expect(gradient.isIntact)
      }
    }
  }

  @Test func rmsNormGradientIsTheSlope() throws {
    let backend = try CPUBackend(threads: 1)
    var random = SeededGenerator(seed: 5)
    let (x, w, g) = (random.normals(24), random.normals(24), random.normals(24))
    let (weight, inverse) = (Tensor(w, shape: [24]), Tensor(zeros: [1]))
    func loss(_ x: [Float]) -> Double {
      let output = Tensor(uninitialized: [1, 24], .float32)
      backend.rmsNorm(
        Tensor(x, shape: [1, 24]), weight: weight, epsilon: 1e-5, into: output,
        inverseRMS: inverse)
      return zip(output.floats(), g).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    _ = loss(x)
    let gradient = Tensor(zeros: [1, 24])
    backend.rmsNormBackward(
      Tensor(g, shape: [1, 24]), input: Tensor(x, shape: [1, 24]), weight: weight,
      inverseRMS: Tensor(inverse.floats(), shape: [1]), inputGradient: gradient,
      accumulating: false)
    for index in 0..<24 {
      var (up, down) = (x, x)
      up[index] += 0x1p-8
      down[index] -= 0x1p-8
      #expect(abs((loss(up) - loss(down)) / 0x1p-7 - Double(gradient[flat: index])) < 1e-3)
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [2, 8, 16, 24, 64, 128])
  func rotary(_ instructionSet: String, _ headSize: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 6)
    let half = headSize / 2
    let angles = (0..<20 * half).map {
      Double($0 / half) / pow(100, Double($0 % half) / Double(half))
    }
    let cosines = Tensor(angles.map { Float(cos($0)) }, shape: [20, half])
    let sines = Tensor(angles.map { Float(sin($0)) }, shape: [20, half])
    let positions: [Int32] = [0, 1, 2, 19, 0, 7, 7]
    let shape: Shape = [positions.count, 3 * headSize]
    for dtype in activationTypes {
      let tensor = GuardedTensor(random.normals(shape.count), shape, dtype)
      let before = tensor.tensor.floats()
      backend.rotary(
        tensor.tensor, headSize: headSize, positions: positions, cosines: cosines, sines: sines,
        inverse: false)
      let expected = before.indices.map { index -> Double in
        let within = index % headSize
        let row = Int(positions[index / (3 * headSize)]) * half + within % half
        let (c, s) = (Double(cosines[flat: row]), Double(sines[flat: row]))
        let other = Double(before[within < half ? index + half : index - half])
        return Double(before[index]) * c + (within < half ? -other : other) * s
      }
      let limit = dtype == .float32 ? 2e-7 : bfloat16Rounding
      #expect(relativeError(tensor.tensor.floats(), expected) < limit)
      backend.rotary(
        tensor.tensor, headSize: headSize, positions: positions, cosines: cosines, sines: sines,
        inverse: true)
      #expect(relativeError(tensor.tensor.floats(), before.map(Double.init)) < 4 * limit)
      #expect(tensor.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func threadsDoNotChangeABit(_ instructionSet: String) throws {
    var random = SeededGenerator(seed: 7)
    let input = Tensor(random.normals(300 * 576), shape: [300, 576])
    let weight = Tensor(random.normals(576), shape: [576])
    func bytes(_ threads: Int) throws -> [UInt8] {
      let backend = try backend(instructionSet, threads: threads)
      let output = Tensor(uninitialized: [300, 576], .bfloat16)
      let inverse = Tensor(uninitialized: [300], .float32)
      backend.rmsNorm(input, weight: weight, epsilon: 1e-5, into: output, inverseRMS: inverse)
      let sum = backend.sumOfSquares(input)
      return output.bytes + inverse.bytes + withUnsafeBytes(of: sum) { Array($0) }
    }
    let one = try bytes(1)
    for threads in [2, 4] {
      let more = try bytes(threads)
      #expect(more == one)
    }
  }
}
