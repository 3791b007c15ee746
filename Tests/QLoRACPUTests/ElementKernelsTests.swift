// Element-wise operations on every instruction set against double precision.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

private let activationTypes: [DType] = [.float32, .bfloat16]

struct ElementKernelsTests {
  static let counts = [1, 7, 15, 16, 17, 47, 97, 512, 20_001]

  @Test(arguments: CPUBackend.instructionSets, counts)
  func siluMultiply(_ instructionSet: String, _ count: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 8)
    for types in 0..<8 {
      let gate = Tensor(random.normals(count, scale: 4), [count], activationTypes[types & 1])
      let up = Tensor(random.normals(count), [count], activationTypes[types >> 1 & 1])
      let output = GuardedTensor([count], activationTypes[types >> 2])
      backend.siluMultiply(gate, up, into: output.tensor)
      let limit = types >> 2 == 0 ? 6e-7 : bfloat16Rounding
      for ((g, u), found) in zip(zip(gate.floats(), up.floats()), output.tensor.floats()) {
        let exact = Double(g) / (1 + exp(-Double(g))) * Double(u)
        #expect(abs(Double(found) - exact) <= limit * abs(exact))
      }
      #expect(output.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func siluOfExtremes(_ instructionSet: String) throws {
    let gates: [Float] = [-1e30, -1e4, -100, -88, -20, -0.0, 0, 1e-30, 20, 100, 1e30, .nan]
    let ones = Tensor([Float](repeating: 1, count: gates.count), shape: [gates.count])
    let (input, output) = (Tensor(gates, shape: [gates.count]), Tensor(zeros: [gates.count]))
    try backend(instructionSet).siluMultiply(input, ones, into: output)
    for (gate, found) in zip(gates, output.floats().dropLast()) {
      let exact = Double(gate) / (1 + exp(-Double(gate)))
      #expect(abs(Double(found) - exact) <= 4e-7 * abs(exact) + 1e-36)
    }
    #expect(output[flat: gates.count - 1].isNaN)
  }

  @Test(arguments: CPUBackend.instructionSets, counts)
  func siluMultiplyBackward(_ instructionSet: String, _ count: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 9)
    for types in 0..<4 {
      let gate = Tensor(random.normals(count, scale: 3), [count], activationTypes[types & 1])
      let up = Tensor(random.normals(count), [count], activationTypes[types >> 1])
      let dy = Tensor(random.normals(count), shape: [count])
      let (dGate, dUp) = (GuardedTensor([count]), GuardedTensor([count]))
      backend.siluMultiplyBackward(
        dy, gate: gate, up: up, gateGradient: dGate.tensor, upGradient: dUp.tensor)
      let (g, u) = (gate.floats().map(Double.init), up.floats().map(Double.init))
      let s = g.map { 1 / (1 + exp(-$0)) }
      let d = dy.floats().map(Double.init)
      let byGate = g.indices.map { d[$0] * u[$0] * s[$0] * (1 + g[$0] * (1 - s[$0])) }
      let byUp = g.indices.map { d[$0] * g[$0] * s[$0] }
      #expect(relativeError(dGate.tensor.floats(), byGate) < 1e-6)
      #expect(relativeError(dUp.tensor.floats(), byUp) < 1e-6)
      #expect(dGate.isIntact && dUp.isIntact)
      let inPlace = GuardedTensor(dy.floats(), [count], .float32)
      backend.siluMultiplyBackward(
        inPlace.tensor, gate: gate, up: up, gateGradient: inPlace.tensor, upGradient: dUp.tensor)
      #expect(inPlace.tensor.floats() == dGate.tensor.floats() && inPlace.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets, counts)
  func addRoundsOnce(_ instructionSet: String, _ count: Int) throws {
    let backend = try backend(instructionSet)
    var random = SeededGenerator(seed: 10)
    for types in 0..<8 {
      let left = GuardedTensor(random.normals(count), [count], activationTypes[types & 1])
      let right = Tensor(random.normals(count), [count], activationTypes[types >> 1 & 1])
      let sums = zip(left.tensor.floats(), right.floats()).map { $0 + $1 }
      // Half of the cases write over an input.
      let inPlace = types & 1 == types >> 2
      let output = inPlace ? left : GuardedTensor([count], activationTypes[types >> 2])
      backend.add(left.tensor, right, into: output.tensor)
      #expect(output.tensor.bytes == Tensor(sums, [count], output.tensor.dtype).bytes)
      #expect(output.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets, counts)
  func scaleRoundsOnce(_ instructionSet: String, _ count: Int) throws {
    var random = SeededGenerator(seed: 11)
    for dtype in activationTypes {
      let tensor = GuardedTensor(random.normals(count), [count], dtype)
      let expected = Tensor(tensor.tensor.floats().map { $0 * 0.3 }, [count], dtype)
      try backend(instructionSet).scale(tensor.tensor, by: 0.3)
      #expect(tensor.tensor.bytes == expected.bytes)
      #expect(tensor.isIntact)
    }
  }

  /// All 65,536 patterns, so every subnormal, infinity and NaN.
  @Test(arguments: CPUBackend.instructionSets, [DType.float16, .bfloat16])
  func wideningKnowsEveryPattern(_ instructionSet: String, _ dtype: DType) throws {
    let narrow = Tensor(uninitialized: [65_536], dtype)
    narrow.withMutableElements(UInt16.self) { for i in 0..<65_536 { $0[i] = UInt16(i) } }
    let (wide, back) = (Tensor(zeros: [65_536]), Tensor(zeros: [65_536], dtype))
    let backend = try backend(instructionSet)
    backend.convert(narrow, into: wide)
    backend.convert(wide, into: back)
    for (found, exact) in zip(wide.floats(), narrow.floats()) {
      #expect(found == exact || found.isNaN && exact.isNaN)
    }
    for (found, exact) in zip(back.floats(), narrow.floats()) {
      #expect(found == exact || found.isNaN && exact.isNaN)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func narrowingRoundsToNearestEven(_ instructionSet: String) throws {
    var random = SeededGenerator(seed: 12)
    let special: [Float] = [
      65_519, 65_520, 65_536, 1e38, .infinity, 0x1p-24, 0x1p-25, 0x1.8p-25, 0x1.8p-24, 0x1p-14,
      0x1.ffcp-15, 0x1.ffep-15, 0x1.001p0, 0x1.003p0, 0x1.01p0, 0x1.03p0, 0x1p-130, 0, -0.0,
    ]
    let values =
      special + special.map { -$0 }
      + random.normals(5_000).map { $0 * exp2(Float.random(in: -30...20, using: &random)) }
    let wide = Tensor(values, shape: [values.count])
    let (half, brain) = (
      GuardedTensor([values.count], .float16), GuardedTensor([values.count], .bfloat16)
    )
    let backend = try backend(instructionSet)
    backend.convert(wide, into: half.tensor)
    backend.convert(wide, into: brain.tensor)
    let halves = half.tensor.withElements(UInt16.self) { Array($0) }
    let brains = brain.tensor.withElements(UInt16.self) { Array($0) }
    #expect(halves == values.map { Float16($0).bitPattern })
    #expect(brains == values.map(\.bfloat16Bits))
    #expect(half.isIntact && brain.isIntact)
  }

  @Test(arguments: counts)
  func sumOfSquaresHasTheSameBitsEverywhere(_ count: Int) throws {
    var random = SeededGenerator(seed: 13)
    for dtype in activationTypes {
      let tensor = Tensor(random.normals(count), [count], dtype)
      let exact = tensor.floats().reduce(0) { $0 + Double($1) * Double($1) }
      let found = try CPUBackend.instructionSets.map { try backend($0).sumOfSquares(tensor) }
      #expect(abs(found[0] - exact) <= 1e-13 * exact)
      #expect(found.allSatisfy { $0 == found[0] })
    }
  }
}
