// What other families than Llama need, on every instruction set against double precision: layer
// norm, GELU, caps, partial rotation, and rows of experts.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

private let activationTypes: [DType] = [.float32, .bfloat16]

struct FamilyKernelsTests {
  @Test(arguments: CPUBackend.instructionSets, [1, 7, 16, 47, 97, 576])
  func layerNorm(_ instructionSet: String, _ width: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 40)
    let shape: Shape = [9, width]
    let (w, b) = (random.normals(width), random.normals(width))
    for dtype in activationTypes {
      // Far from zero, where squares less the square of the mean would lose digits.
      let values = random.normals(shape.count).map { $0 + 20 }
      let input = Tensor(values, shape, dtype)
      let output = GuardedTensor(shape, dtype)
      let statistics = GuardedTensor([9, 2])
      backend.layerNorm(
        input, weight: Tensor(w, shape: [width]), bias: Tensor(b, shape: [width]), epsilon: 1e-3,
        into: output.tensor, statistics: statistics.tensor)
      let x = input.floats().map(Double.init)
      var expected = x
      var expectedGradient = x
      let dy = random.normals(shape.count)
      for row in 0..<9 {
        let line = x[row * width..<(row + 1) * width]
        let mean = line.reduce(0, +) / Double(width)
        let variance = line.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
        let r = 1 / (variance + Double(Float(1e-3))).squareRoot()
        let g = (0..<width).map { Double(dy[row * width + $0]) * Double(w[$0]) }
        let n = line.map { ($0 - mean) * r }
        let (sum, dot) = (g.reduce(0, +), zip(g, n).reduce(0) { $0 + $1.0 * $1.1 })
        for i in 0..<width {
          expected[row * width + i] = n[i] * Double(w[i]) + Double(b[i])
          expectedGradient[row * width + i] =
            r * (g[i] - sum / Double(width) - n[i] * dot / Double(width))
        }
      }
      // The mean of 20 in float32 is right to 2e-6, which the smallest deviations magnify.
      let limit = dtype == .float32 ? 3e-5 : bfloat16Rounding
      #expect(relativeError(output.tensor.floats(), expected, floor: 1) < limit)
      let gradient = GuardedTensor(shape)
      for times in [1.0, 2.0] {
        backend.layerNormBackward(
          Tensor(dy, shape: shape), input: input, weight: Tensor(w, shape: [width]),
          statistics: statistics.tensor, inputGradient: gradient.tensor, accumulating: times > 1)
        let wanted = expectedGradient.map { $0 * times }
        #expect(relativeError(gradient.tensor.floats(), wanted, floor: 10) < 3e-5)
      }
      #expect(output.isIntact && statistics.isIntact && gradient.isIntact)
    }
  }

  /// gelu(x) and its slope.
  private func gelu(_ x: Double, _ activation: Activation) -> (value: Double, slope: Double) {
    guard activation == .geluTanh else {
      let below = erfc(-x / 2.0.squareRoot()) / 2
      return (x * below, below + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
    }
    let root = (2 / Double.pi).squareRoot()
    let bent = tanh(root * (x + 0.044715 * x * x * x))
    let inner = root * (1 + 3 * 0.044715 * x * x)
    return (x * (1 + bent) / 2, (1 + bent) / 2 + x * (1 - bent * bent) / 2 * inner)
  }

  @Test(
    arguments: CPUBackend.instructionSets, [Activation.gelu, .geluTanh])
  func geluMultiply(_ instructionSet: String, _ activation: Activation) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 41)
    for count in [1, 7, 16, 47, 20_001] {
      for dtype in activationTypes {
        for isGated in [true, false] {
          let gate = Tensor(random.normals(count, scale: 3), [count], dtype)
          let up = isGated ? Tensor(random.normals(count), [count], dtype) : nil
          let output = GuardedTensor([count], dtype)
          backend.geluMultiply(gate, up, activation, into: output.tensor)
          let u = up?.floats().map(Double.init) ?? [Double](repeating: 1, count: count)
          let exact = gate.floats().map { gelu(Double($0), activation) }
          let limit = dtype == .float32 ? 1e-6 : bfloat16Rounding
          let value = zip(exact, u).map { $0.value * $1 }
          #expect(relativeError(output.tensor.floats(), value, floor: 1) < limit)
          let dy = random.normals(count)
          let dGate = GuardedTensor(dy, [count], .float32)
          let dUp = GuardedTensor([count])
          backend.geluMultiplyBackward(
            dGate.tensor, gate: gate, up: up, activation, gateGradient: dGate.tensor,
            upGradient: isGated ? dUp.tensor : nil)
          let byGate = dy.indices.map { Double(dy[$0]) * u[$0] * exact[$0].slope }
          // 1 − σ is right to 6e-8, times x·2u', which is 20 where that still matters.
          #expect(relativeError(dGate.tensor.floats(), byGate, floor: 1) < 2e-6)
          if isGated {
            let byUp = dy.indices.map { Double(dy[$0]) * exact[$0].value }
            #expect(relativeError(dUp.tensor.floats(), byUp, floor: 1) < 1e-6)
          }
          #expect(output.isIntact && dGate.isIntact && dUp.isIntact)
        }
      }
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func extremesOfGeluAndCapsStayFinite(_ instructionSet: String) throws {
    let backend = try backend(instructionSet)
    let values: [Float] = [-1e30, -1e4, -12, -0.25, -1e-20, 0, 1e-30, 0.25, 12, 1e4, 1e30]
    let input = Tensor(values, shape: [values.count])
    let output = Tensor(zeros: [values.count])
    for activation in [Activation.gelu, .geluTanh] {
      backend.geluMultiply(input, nil, activation, into: output)
      #expect(output.floats().allSatisfy { $0.isFinite })
      #expect(output[flat: 10] == 1e30 && output[flat: 0] == 0)
    }
    backend.cap(input, at: 3)
    for (value, found) in zip(values, input.floats()) {
      let exact = 3 * tanh(Double(value) / 3)
      #expect(abs(Double(found) - exact) <= 4e-7 * max(abs(exact), 1e-30))
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [1, 47, 48, 1001])
  func caps(_ instructionSet: String, _ count: Int) throws {
    var random = SeededGenerator(seed: 42)
    let values = random.normals(count, scale: 4)
    let tensor = GuardedTensor(values, [count], .float32)
    try backend(instructionSet).cap(tensor.tensor, at: 2.5)
    let exact = values.map { 2.5 * tanh(Double($0) / 2.5) }
    #expect(relativeError(tensor.tensor.floats(), exact) < 3e-7 && tensor.isIntact)
  }

  @Test(arguments: CPUBackend.instructionSets, [0, 2, 6, 16])
  func rotaryOfAPart(_ instructionSet: String, _ rotated: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 43)
    let (headSize, half) = (16, rotated / 2)
    let angles = (0..<8 * half).map { Double($0) * 0.37 }
    let cosines = Tensor(angles.map { Float(cos($0)) }, shape: [8, half])
    let sines = Tensor(angles.map { Float(sin($0)) }, shape: [8, half])
    let tensor = GuardedTensor(random.normals(3 * 2 * headSize), [3, 2 * headSize], .float32)
    let before = tensor.tensor.floats()
    let positions: [Int32] = [0, 7, 2]
    backend.rotary(
      tensor.tensor, headSize: headSize, positions: positions, cosines: cosines, sines: sines,
      inverse: false)
    let expected = before.indices.map { index -> Double in
      let within = index % headSize
      guard within < rotated else { return Double(before[index]) }
      let row = Int(positions[index / (2 * headSize)]) * half + within % half
      let (c, s) = (Double(cosines[flat: row]), Double(sines[flat: row]))
      let other = Double(before[within < half ? index + half : index - half])
      return Double(before[index]) * c + (within < half ? -other : other) * s
    }
    #expect(relativeError(tensor.tensor.floats(), expected) < 2e-7 && tensor.isIntact)
  }

  @Test(arguments: CPUBackend.instructionSets, [1, 7, 48, 97])
  func rowsOfExperts(_ instructionSet: String, _ width: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 44)
    let places: [Int32] = [3, 0, 1, 5, 2, 4]
    for dtype in activationTypes {
      let input = Tensor(random.normals(6 * width), [6, width], dtype)
      let weights = Tensor(random.normals(6), shape: [3, 2])
      let sum = GuardedTensor([3, width])
      backend.weightedRows(
        input, places: places, weights: weights, into: sum.tensor, accumulating: false)
      let (x, w) = (input.floats().map(Double.init), weights.floats().map(Double.init))
      let expected = (0..<3 * width).map { index in
        (0..<2).reduce(0.0) { total, choice in
          let place = index / width * 2 + choice
          return total + w[place] * x[Int(places[place]) * width + index % width]
        }
      }
      #expect(relativeError(sum.tensor.floats(), expected) < 1e-6)
      let dy = random.normals(3 * width)
      let (dx, dw) = (GuardedTensor([6, width]), GuardedTensor([3, 2]))
      backend.weightedRowsBackward(
        Tensor(dy, shape: [3, width]), input: input, places: places, weights: weights,
        inputGradient: dx.tensor, weightGradient: dw.tensor)
      for place in 0..<6 {
        let (row, token) = (Int(places[place]) * width, place / 2 * width)
        let dot = (0..<width).reduce(0.0) { $0 + Double(dy[token + $1]) * x[row + $1] }
        #expect(abs(Double(dw.tensor[flat: place]) - dot) < 1e-5)
        for i in 0..<width {
          let exact = w[place] * Double(dy[token + i])
          #expect(abs(Double(dx.tensor[flat: row + i]) - exact) < 1e-6)
        }
      }
      #expect(sum.isIntact && dx.isIntact && dw.isIntact)
    }
  }
}
