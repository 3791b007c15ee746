// Rounding to bfloat16: ties, overflow, NaN, and the same from the scalar rule and the backend.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct BFloat16Tests {
  @Test(arguments: [
    (0x3F80_0000, 0x3F80),  // 1 is exact.
    (0x3F80_8000, 0x3F80),  // A tie goes down to an even neighbour…
    (0x3F81_8000, 0x3F82),  // …and from an odd one up.
    (0x3F80_7FFF, 0x3F80),
    (0x3F80_8001, 0x3F81),
    (0xBF81_8000, 0xBF82),
    (0x0000_0000, 0x0000),
    (0x8000_0000, 0x8000),
    (0x0000_8000, 0x0000),  // Subnormals round by the same rule.
    (0x0001_8000, 0x0002),
    (0x7F7F_7FFF, 0x7F7F),
    (0x7F7F_FFFF, 0x7F80),  // The largest float is nearer to infinity.
    (0x7F80_0000, 0x7F80),
    (0xFF80_0000, 0xFF80),
    (0x7F80_0001, 0x7FC0),  // A NaN whose payload is cut off stays a NaN.
    (0xFFFF_FFFF, 0xFFFF),
    (0x7FFF_8000, 0x7FFF),
  ] as [(UInt32, UInt16)])
  func roundsToTheNearestTiesToEven(_ bits: UInt32, expected: UInt16) {
    #expect(Float(bitPattern: bits).bfloat16Bits == expected)
  }

  @Test func everyValueIsItsOwnRounding() {
    let changed = (UInt16.min...UInt16.max).filter { bits in
      let value = Float(bitPattern: UInt32(bits) << 16)
      if value.isNaN { return !Float(bitPattern: UInt32(value.bfloat16Bits) << 16).isNaN }
      return value.bfloat16Bits != bits
    }
    #expect(changed == [])
  }

  /// The rule again, from the distances to both neighbours in double precision.
  @Test func theNearerNeighbourIsTaken() {
    var generator = SeededGenerator(seed: 16)
    let wrong = (0..<20_000).map { _ in Float(bitPattern: UInt32(generator.next() >> 32)) }
      .filter { $0.isFinite && $0.magnitude < 0x1p127 }
      .filter { value in
        let low = value.bitPattern & 0xFFFF_0000
        let toLow = abs(Double(value) - Double(Float(bitPattern: low)))
        let toHigh = abs(Double(Float(bitPattern: low + 0x1_0000)) - Double(value))
        let isOdd = low & 0x1_0000 != 0
        let takesHigh = toHigh < toLow || (toHigh == toLow && isOdd)
        return value.bfloat16Bits != UInt16((takesHigh ? low + 0x1_0000 : low) >> 16)
      }
    #expect(wrong == [])
  }

  @Test(arguments: CPUBackend.instructionSets)
  func theBackendRoundsAlike(_ instructionSet: String) throws {
    let backend = try CPUBackend(threads: 1, instructionSet: instructionSet)
    var generator = SeededGenerator(seed: 17)
    var bits = (0..<4096).map { _ in UInt32(generator.next() >> 32) }
    bits += [0x7F80_0001, 0xFFFF_FFFF, 0x7F7F_FFFF, 0x3F80_8000, 0x3F81_8000, 0x8000_0000]
    let input = Tensor(bits.map { Float(bitPattern: $0) }, shape: [bits.count])
    let output = Tensor(uninitialized: [bits.count], .bfloat16)
    backend.convert(input, into: output)
    let found = output.withElements(UInt16.self) { Array($0) }
    let wrong = zip(bits, found).filter { bits, found in
      let value = Float(bitPattern: bits)
      if value.isNaN { return !Float(bitPattern: UInt32(found) << 16).isNaN }
      return found != value.bfloat16Bits
    }
    #expect(wrong.map(\.0) == [])
  }

  @Test func wideningIsExact() {
    let halves: [Float16] = [0, -0.0, 1, 65504, 0x1p-24, -0x1.8p-15, .infinity]
    let tensor = Tensor(
      bytes: halves.flatMap { [UInt8($0.bitPattern & 255), UInt8($0.bitPattern >> 8)] },
      shape: [halves.count], dtype: .float16)
    #expect(tensor.floats() == halves.map { Float($0) })
    let brain = Tensor(bytes: [0x80, 0x3F, 0x00, 0xC0], shape: [2], dtype: .bfloat16)
    #expect(brain.floats() == [1, -2])
  }
}
