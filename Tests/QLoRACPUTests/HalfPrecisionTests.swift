// Operations on float16 rows against the same on float32 rows that hold the same numbers: they may
// differ by the rounding of what is stored, and by nothing else.
import ProductCases
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

struct HalfPrecisionTests {
  /// Half a unit in the last of eleven bits.
  private static let rounding = 0x1.01p-11

  private func half(_ shape: Shape, seed: UInt64) -> Tensor {
    var random = SeededGenerator(seed: seed)
    return Tensor(random.normals(shape.count), shape, .float16)
  }

  private func wide(_ tensor: Tensor) -> Tensor { Tensor(tensor.floats(), shape: tensor.shape) }

  private func expectRounded(_ found: Tensor, _ exact: Tensor, floor: Double = 1e-6) {
    for (found, exact) in zip(found.floats(), exact.floats()) {
      #expect(abs(Double(found) - Double(exact)) <= Self.rounding * max(floor, abs(Double(exact))))
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func elementsAndRows(_ instructionSet: String) throws {
    let backend = try backend(instructionSet)
    for width in [1, 15, 48, 97] {
      let shape: Shape = [5, width]
      let (left, right) = (half(shape, seed: 1), half(shape, seed: 2))
      let weight = wide(half([width], seed: 3))
      let (found, exact) = (GuardedTensor(shape, .float16), Tensor(zeros: shape))
      backend.add(left, right, into: found.tensor)
      backend.add(wide(left), wide(right), into: exact)
      expectRounded(found.tensor, exact)
      backend.siluMultiply(left, right, into: found.tensor)
      backend.siluMultiply(wide(left), wide(right), into: exact)
      expectRounded(found.tensor, exact, floor: 0x1p-13)
      let inverse = Tensor(zeros: [5])
      backend.rmsNorm(left, weight: weight, epsilon: 1e-5, into: found.tensor, inverseRMS: inverse)
      backend.rmsNorm(wide(left), weight: weight, epsilon: 1e-5, into: exact, inverseRMS: inverse)
      expectRounded(found.tensor, exact, floor: 0x1p-13)
      #expect(found.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func attention(_ instructionSet: String) throws {
    let problem = AttentionCase(
      lengths: [61, 40], heads: 9, kvHeads: 3, headSize: 64, dtype: .float16)
    let data = AttentionData(problem)
    let found = AttentionResults(data, on: try backend(instructionSet))
    let expected = data.oracle.forward()
    let gradients = data.oracle.backward(data.outputGradient.floats().map(Double.init))
    #expect(relativeError(found.logSumExp.tensor.floats(), expected.logSumExp) < 1e-6)
    #expect(relativeError(found.output.tensor.floats(), expected.output) < Self.rounding)
    // Backward starts from the rounded output.
    #expect(relativeError(found.queryGradient.tensor.floats(), gradients.query) < 0x1p-9)
    #expect(relativeError(found.keyGradient.tensor.floats(), gradients.key) < 0x1p-9)
    #expect(relativeError(found.valueGradient.tensor.floats(), gradients.value) < 4e-6)
    #expect(found.all.allSatisfy { $0.isIntact })
  }

  @Test(arguments: CPUBackend.instructionSets)
  func rotaryAndEmbedding(_ instructionSet: String) throws {
    let backend = try backend(instructionSet)
    let (positions, table): ([Int32], Tensor) = ([0, 3, 6], wide(half([7, 8], seed: 5)))
    let rotated = half([3, 32], seed: 4)
    let exact = wide(rotated)
    for tensor in [rotated, exact] {
      backend.rotary(
        tensor, headSize: 16, positions: positions, cosines: table, sines: table, inverse: false)
    }
    expectRounded(rotated, exact, floor: 0x1p-13)
    let (weight, values) = try backend.seededWeight(11, 40, .dense(.float16))
    let found = GuardedTensor([2, 40], .float16)
    backend.embedding([10, 0], weight, into: found.tensor)
    #expect(found.tensor.floats() == Array(values[400...]) + Array(values[..<40]))
    #expect(found.isIntact)
  }
}
