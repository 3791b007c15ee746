// The int16 kernels against their scalar twins, bit for bit, with guards round all outputs, and the
// scalar ones against their contract.
import CQLoRAKernels
import QLoRACPU
import TestSupport
import Testing

struct Int16KernelTests {
  private typealias Kernels = qlora_int16_kernels
  /// The tables of this CPU that have int16 kernels of their own.
  static let sets = CPUBackend.instructionSets.filter { $0 != "reference" && kernels($0) != nil }
  static let depths = [2, 8, 30, 32, 62, 64, 66, 130, 576]
  private let reference = Self.kernels("reference")!

  private static func kernels(_ name: String) -> Kernels? {
    qlora_int16_kernels_for(qlora_kernels_for(name)!.pointee.product)?.pointee
  }

  private func normals(_ count: Int, _ seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return generator.normals(count)
  }

  private func integers(_ count: Int, within limit: Int, _ seed: UInt64) -> [Int16] {
    var generator = SeededGenerator(seed: seed)
    let span = UInt64(2 * limit + 1)
    return (0..<count).map { _ in Int16(Int(generator.next() % span) - limit) }
  }

  /// Values over many magnitudes, with a NaN, infinities, a lane of zeros and one of tiny values.
  private func activations(_ depth: Int, special: Bool) -> [Float] {
    var x = normals(depth * 48, 1)
    for index in x.indices { x[index] *= index % 7 == 0 ? 1e4 : index % 5 == 0 ? 1e-6 : 1 }
    if !special { return x }
    (x[3], x[4], x[5]) = (.nan, .infinity, -.infinity)
    for step in 0..<depth {
      x[step * 48 + 8] = 0
      x[step * 48 + 9] = 1e-38
    }
    return x
  }

  private func expectSame<Element: Equatable>(
    _ set: String, _ count: Int, _ start: Element, _ what: String,
    _ body: (Kernels, UnsafeMutablePointer<Element>) -> Void
  ) {
    let expected = Guarded(count, filledWith: start)
    let found = Guarded(count, filledWith: start)
    body(reference, expected.pointer)
    body(Self.kernels(set)!, found.pointer)
    #expect(found.isIntact && expected.isIntact, "\(set) \(what) wrote outside")
    #expect(found.values == expected.values, "\(set) \(what)")
  }

  @Test(arguments: sets, depths)
  func quantizesAsTheReference(set: String, depth: Int) {
    let factors = normals(depth, 2)
    for special in [false, true] {
      let x = activations(depth, special: special)
      for (segment, vectors) in [(32, 1), (64, 2), (64, 3)] {
        let segments = (depth + segment - 1) / segment
        for scaled in [false, true] {
          let factors = scaled ? factors : []
          let given = factors.isEmpty ? nil : factors
          expectSame(set, depth * 48, Int16(9), "lanes \(segment) \(vectors)") {
            var scales = [Float](repeating: 5, count: segments * 48)
            $0.quantize(depth, segment, x, given, 0.5, $1, &scales, vectors)
          }
          // As bits, since a NaN equals nothing.
          expectSame(set, segments * 48, UInt32(9), "scales \(segment) \(vectors)") {
            kernels, bits in
            var lanes = [Int16](repeating: 5, count: depth * 48)
            bits.withMemoryRebound(to: Float.self, capacity: segments * 48) {
              kernels.quantize(depth, segment, x, given, 0.5, &lanes, $0, vectors)
            }
          }
        }
      }
    }
  }

  @Test(arguments: sets, depths)
  func multipliesAsTheReference(set: String, depth: Int) {
    let codes = integers(depth * 8, within: QLORA_INT16_WEIGHT, 3)
    let lanes = integers(depth * 48, within: QLORA_INT16_LANE, 4)
    let rows = normals((depth + 31) / 32 * 8, 5)
    let scales = normals((depth + 31) / 32 * 48, 6)
    for (segment, stride) in [(32, 8), (64, 8), (64, 0)] {
      for vectors in 1...3 {
        for accumulate: Int32 in [0, 1] {
          expectSame(set, 8 * 48, Float(0.5), "tile \(segment) \(stride) \(vectors)") {
            $0.tile(depth, segment, codes, rows, stride, lanes, scales, $1, vectors, accumulate)
          }
        }
      }
    }
  }

  @Test(arguments: sets, [1, 2, 3, 4, 9, 36])
  func decodesAsTheReference(set: String, lines: Int) {
    var generator = SeededGenerator(seed: 7)
    let codes = (0..<64 * lines).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    let table = integers(16, within: QLORA_INT16_WEIGHT, 8)
    expectSame(set, lines * 128, Int16(9), "decode_rows") {
      $0.decode_rows(lines, codes, table, $1)
    }
    let fine = integers(16, within: QLORA_INT16_WEIGHT * 8, 9)
    let ratios = integers(40 * 8, within: 32767, 10)
    for (first, perBlock) in [(0, 2), (1, 2), (3, 4), (5, 8), (7, 256)] {
      expectSame(set, lines * 128 + 48, Int16(9), "decode_columns") {
        $0.decode_columns(lines, codes, fine, ratios, first, perBlock, $1, lines == 1 ? 112 : 64)
      }
    }
  }

  @Test(arguments: sets, depths)
  func quantizesWeightsAsTheReference(set: String, depth: Int) {
    for special in [false, true] {
      // The lanes of activations serve as rows.
      let panel = Array(activations(depth, special: special).prefix(depth * 8))
      for segment in [32, 64] {
        let segments = (depth + segment - 1) / segment
        expectSame(set, depth * 8, Int16(9), "quantize_rows") {
          var scales = [Float](repeating: 5, count: segments * 8)
          $0.quantize_rows(depth, segment, panel, $1, &scales)
        }
        expectSame(set, segments * 8, UInt32(9), "scales of rows") { kernels, bits in
          var codes = [Int16](repeating: 5, count: depth * 8)
          bits.withMemoryRebound(to: Float.self, capacity: segments * 8) {
            kernels.quantize_rows(depth, segment, panel, &codes, $0)
          }
        }
      }
    }
  }

  @Test(arguments: sets, 1...8)
  func quantizesColumnsAsTheReference(set: String, groups: Int) {
    for special in [false, true] {
      for stride in [64, 80, 128] {
        let panel = activations(groups * 4, special: special)
        expectSame(set, groups * 64, Int16(9), "quantize_columns") {
          var scales = [Float](repeating: 5, count: 8)
          $0.quantize_columns(groups, panel, stride, $1, &scales)
        }
        expectSame(set, 8, UInt32(9), "scales of columns") { kernels, bits in
          var codes = [Int16](repeating: 5, count: groups * 64)
          bits.withMemoryRebound(to: Float.self, capacity: 8) {
            kernels.quantize_columns(groups, panel, stride, &codes, $0)
          }
        }
      }
    }
  }

  /// Nowhere do sums leave int32: all products of a segment at their largest, of one sign.
  @Test(arguments: sets + ["reference"])
  func theLargestSumIsExact(set: String) throws {
    let kernels = try #require(Self.kernels(set))
    for sign in [1, -1] {
      let codes = [Int16](repeating: Int16(sign * QLORA_INT16_WEIGHT), count: 64 * 8)
      let lanes = [Int16](repeating: Int16(QLORA_INT16_LANE), count: 64 * 48)
      let ones = [Float](repeating: 1, count: 48)
      var c = [Float](repeating: 0, count: 8 * 48)
      kernels.tile(64, 64, codes, ones, 8, lanes, ones, &c, 3, 0)
      #expect(c.allSatisfy { $0 == Float(sign * 64 * 4095 * 8191) })
    }
  }

  @Test func quantizingRoundsToHalfAUnitOfTheSegment() {
    let x = activations(128, special: false)
    var lanes = [Int16](repeating: 0, count: 128 * 48)
    var scales = [Float](repeating: 0, count: 2 * 48)
    reference.quantize(128, 64, x, nil, 1 / Float(QLORA_INT16_LANE), &lanes, &scales, 3)
    for lane in 0..<48 {
      for segment in 0..<2 {
        let steps = segment * 64..<segment * 64 + 64
        let places = steps.map { ($0 / 2 * 48 + lane) * 2 + $0 % 2 }
        let scale = scales[segment * 48 + lane]
        #expect(places.map { abs(Int(lanes[$0])) }.max() == QLORA_INT16_LANE)
        for (step, place) in zip(steps, places) {
          #expect(abs(Float(lanes[place]) * scale - x[step * 48 + lane]) <= 0.501 * scale)
        }
      }
    }
  }

  @Test func whatIsNoNumberMakesTheScaleNoNumber() {
    let x = activations(64, special: true)
    var lanes = [Int16](repeating: 7, count: 64 * 48)
    var scales = [Float](repeating: 7, count: 48)
    reference.quantize(64, 64, x, nil, 1, &lanes, &scales, 3)
    #expect([3, 4, 5].allSatisfy { scales[$0].isNaN })
    #expect(scales[8] == 0 && scales[9] == 0 && scales[10] > 0)
    for step in 0..<64 {
      for lane in [3, 4, 5, 8, 9] { #expect(lanes[(step / 2 * 48 + lane) * 2 + step % 2] == 0) }
    }
  }
}
