// The int8 kernels against their scalar twins, bit for bit, with guards round all outputs, and the
// scalar ones against their contract.
import CQLoRAKernels
import TestSupport
import Testing

import QLoRACPU

struct Int8KernelTests {
  private typealias Kernels = qlora_int8_kernels
  static let sets = CPUBackend.instructionSets.filter { $0 != "reference" }
  private static let rows = Int(QLORA_INT8_ROWS)
  private static let bias = UInt8(QLORA_INT8_BIAS)
  private let reference = Self.kernels("reference")

  private static func kernels(_ name: String) -> Kernels {
    qlora_int8_kernels_for(qlora_kernels_for(name)!.pointee.product).pointee
  }

  /// Values over many magnitudes, among them those that fp16 rounds, flushes and overflows.
  private func values(_ count: Int) -> [Float] {
    var generator = SeededGenerator(seed: 3)
    var values = generator.normals(count, scale: 4)
    for index in values.indices where index % 5 == 0 { values[index] *= 1e-7 }
    let special: [Float] = [.nan, .infinity, 65_520, -70_000, 6, -6, 5.9999, 6e-8, 0, -0.0]
    for (index, value) in special.enumerated() where 3 * index < count { values[3 * index] = value }
    return values
  }

  private func bytes(_ count: Int, seed: UInt64) -> [Int8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int8(truncatingIfNeeded: generator.next()) }
  }

  /// Codes that activations can have: never -128, which is 0 when biased.
  private func codes(_ count: Int, seed: UInt64) -> [UInt8] {
    bytes(count, seed: seed).map { UInt8(max(1, Int($0) + 128)) }
  }

  @Test(arguments: sets, [1, 3, 7, 8, 9, 16, 31, 64, 577])
  func roundsAsTheReference(set: String, count: Int) {
    let x = values(count)
    let kernels = Self.kernels(set)
    for threshold: Float in [0, 6] {
      let expected = Guarded(count, filledWith: UInt8(0))
      let found = Guarded(count, filledWith: UInt8(0))
      let most = [(reference, expected), (kernels, found)].map {
        $0.absmax(count, x, threshold, $1.pointer).bitPattern
      }
      #expect(most[0] == most[1] && found.values == expected.values && found.isIntact)
      for (factor, flags) in [(Float(21.1), nil), (127, expected.values), (.infinity, nil)] {
        let expected = Guarded(count, filledWith: UInt8(9))
        let found = Guarded(count, filledWith: UInt8(9))
        reference.encode(count, x, factor, flags, expected.pointer)
        kernels.encode(count, x, factor, flags, found.pointer)
        #expect(found.values == expected.values && found.isIntact, "\(set) \(factor)")
        #expect(!found.values.contains(0))
      }
    }
  }

  @Test(arguments: sets, [1, 2, 5, 19, 144, 1024])
  func multipliesAsTheReference(set: String, fours: Int) {
    let band = bytes(fours * 4 * Self.rows, seed: 5)
    let corrections = (0..<Self.rows).map { row in
      (0..<fours * 4).reduce(Int32(0)) {
        $0 - 128 * Int32(band[($1 / 4 * Self.rows + row) * 4 + $1 % 4])
      }
    }
    let stride = fours * 4 + 4
    for tokens in [1, 2, 3, 4, 5, 11, 12, 13, 30] {
      let activations = codes(tokens * stride, seed: UInt64(tokens))
      let sums = [reference, Self.kernels(set)].map { kernels in
        let sums = Guarded(tokens * Self.rows, filledWith: Int32(7))
        kernels.product(tokens, fours, activations, stride, band, corrections, sums.pointer)
        #expect(sums.isIntact)
        return sums.values
      }
      #expect(sums[0] == sums[1], "\(set), \(tokens) tokens")
    }
  }

  @Test(arguments: sets)
  func sumsOfExtremesDoNotSaturate(set: String) {
    let fours = 1024
    for (code, weight) in [(UInt8(255), Int8(-128)), (1, -128), (255, 127), (1, 127)] {
      let band = [Int8](repeating: weight, count: fours * 4 * Self.rows)
      let activations = [UInt8](repeating: code, count: fours * 4)
      let correction = -128 * Int32(weight) * Int32(fours * 4)
      let corrections = [Int32](repeating: correction, count: Self.rows)
      var sums = [Int32](repeating: 0, count: Self.rows)
      Self.kernels(set).product(1, fours, activations, fours * 4, band, corrections, &sums)
      let expected = (Int32(code) - 128) * Int32(weight) * Int32(fours * 4)
      #expect(sums.allSatisfy { $0 == expected }, "\(set) \(code) \(weight)")
    }
  }

  @Test(arguments: sets, [1, 2, 7])
  func scalesAndDecodesAsTheReference(set: String, count: Int) {
    var generator = SeededGenerator(seed: 6)
    let sums = bytes(count * Self.rows, seed: 7).map { Int32($0) * 16_777 }
    let tokens = generator.normals(count)
    let rows = generator.normals(Self.rows)
    let bias = generator.normals(Self.rows)
    let band = bytes(count * 4 * Self.rows, seed: 8)
    let kernels = Self.kernels(set)
    let scaled = [reference, kernels].map { kernels in
      let output = Guarded(count * Self.rows, filledWith: Float(0.5))
      kernels.scale(count, sums, tokens, rows, 6.2e-5, bias, output.pointer)
      #expect(output.isIntact)
      return output.values
    }
    #expect(scaled[0] == scaled[1])
    let decoded = [reference, kernels].map { kernels in
      let output = Guarded(count * 32, filledWith: Float(0.5))
      kernels.decode(count, band, rows, 1 / 127, output.pointer)
      #expect(output.isIntact)
      return output.values
    }
    #expect(decoded[0] == decoded[1])
  }

  @Test func theReferenceRoundsToHalfFirst() {
    // fp16 has 11 bits: 2049 is 2048, and 6.1e-8 the least subnormal.
    let x: [Float] = [2049, 2.98e-8, -6.1e-8]
    var outliers: [UInt8] = [0, 0, 0]
    #expect(reference.absmax(3, x, 0, nil) == 2048)
    #expect(reference.absmax(3, x, 2048, &outliers) == 0x1p-24 && outliers == [1, 0, 0])
    var codes: [UInt8] = [9, 9, 9]
    reference.encode(3, x, 0x1p24, outliers, &codes)
    #expect(codes == [Self.bias, Self.bias, Self.bias - 1])
  }
}
