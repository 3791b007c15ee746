// Every product kernel of every instruction set against the scalar reference, with guards around
// all outputs.
import CQLoRAKernels
import QLoRACPU
import TestSupport
import Testing

/// Memory between two stretches that must keep their pattern.
final class Guarded<Element> {
  private static var padding: Int { 256 }
  private let bytes: UnsafeMutableRawPointer
  private let size: Int
  let count: Int

  init(_ count: Int, filledWith value: Element) {
    self.count = count
    size = count * MemoryLayout<Element>.stride
    bytes = .allocate(byteCount: size + 2 * Self.padding, alignment: 4)
    bytes.initializeMemory(as: UInt8.self, repeating: 0xA5, count: size + 2 * Self.padding)
    pointer.initialize(repeating: value, count: count)
  }

  deinit { bytes.deallocate() }

  var pointer: UnsafeMutablePointer<Element> {
    (bytes + Self.padding).assumingMemoryBound(to: Element.self)
  }

  var values: [Element] { Array(UnsafeBufferPointer(start: pointer, count: count)) }

  var isIntact: Bool {
    let all = UnsafeRawBufferPointer(start: bytes, count: size + 2 * Self.padding)
    return all.prefix(Self.padding).allSatisfy { $0 == 0xA5 }
      && all.suffix(Self.padding).allSatisfy { $0 == 0xA5 }
  }
}

struct ProductKernelTests {
  static let sets = CPUBackend.instructionSets.filter { $0 != "reference" }
  static let sizes = [1, 7, 8, 9, 15, 16, 17, 47, 48, 49, 100, 129]
  private let reference = qlora_kernels_for("reference")!.pointee.product.pointee

  private func kernels(_ name: String) -> qlora_product_kernels {
    qlora_kernels_for(name)!.pointee.product.pointee
  }

  private func normals(_ count: Int, _ seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return generator.normals(count)
  }

  private func halves(_ count: Int, _ seed: UInt64) -> [UInt16] {
    normals(count, seed).map { UInt16($0.bitPattern >> 16) }
  }

  private func isNear(_ left: [Float], _ right: [Float], _ tolerance: Float) -> Bool {
    zip(left, right).allSatisfy { abs($0 - $1) <= tolerance * (1 + abs($1)) }
  }

  /// Runs a kernel of both tables on outputs of their own.
  private func compare<Element: Equatable>(
    _ set: String, _ count: Int, _ start: Element, tolerance: Float = 0, _ what: String,
    _ body: (qlora_product_kernels, UnsafeMutablePointer<Element>) -> Void
  ) {
    let expected = Guarded(count, filledWith: start)
    let found = Guarded(count, filledWith: start)
    body(reference, expected.pointer)
    body(kernels(set), found.pointer)
    #expect(found.isIntact && expected.isIntact, "\(set) \(what) wrote outside")
    if let expected = expected.values as? [Float], let found = found.values as? [Float] {
      #expect(isNear(found, expected, tolerance), "\(set) \(what)")
    } else {
      #expect(found.values == expected.values, "\(set) \(what)")
    }
  }

  @Test(arguments: sets, sizes)
  func packsAndUnpacks(set: String, size: Int) {
    for tokens in [1, 7, 8, 15, 16, 17, 31, 47, 48] {
      let stride = size + 3
      let x = normals(tokens * stride, 1)
      let bits = halves(tokens * stride, 2)
      compare(set, size * 48, Float(9), "pack_f32") { $0.pack_f32(tokens, size, x, stride, $1) }
      compare(set, size * 48, Float(9), "pack_bf16") {
        $0.pack_bf16(tokens, size, bits, stride, $1)
      }
      let c = normals(size * 48, 3)
      let bias = normals(size, 4)
      for accumulate: Int32 in [0, 1] {
        compare(set, tokens * stride, Float(2), tolerance: 1e-6, "unpack_f32") {
          $0.unpack_f32(tokens, size, c, bias, $1, stride, accumulate)
        }
      }
      compare(set, tokens * stride, UInt16(5), "unpack_bf16") {
        $0.unpack_bf16(tokens, size, c, nil, $1, stride)
      }
    }
  }

  @Test(arguments: sets)
  func roundsToBfloat16AsTheReference(set: String) {
    let special: [UInt32] = [
      0x7F80_0000, 0xFF80_0000, 0x7FC0_0001, 0x7F80_0001, 0x3F80_8000, 0x3F81_8000, 0x3F80_8001,
      0x7F7F_FFFF, 0x0000_0001, 0x8000_0000,
    ]
    let c = (0..<16 * 48).map { Float(bitPattern: special[$0 % special.count]) }
    compare(set, 48 * 16, UInt16(5), "unpack_bf16") { $0.unpack_bf16(48, 16, c, nil, $1, 16) }
  }

  @Test(arguments: sets, sizes)
  func multipliesTiles(set: String, size: Int) {
    let w = normals(size * 8, 5)
    let x = normals(size * 48, 6)
    for vectors in 1...3 {
      for accumulate: Int32 in [0, 1] {
        compare(set, 8 * 48, Float(0.5), tolerance: 1e-5, "tile") {
          $0.tile(size, w, x, $1, vectors, accumulate)
        }
        let stride = 64 + 8
        let panels = normals(size * stride, 7)
        let tokens = normals(size * 8 * 48, 8)
        compare(set, 8 * 48, Float(0.5), tolerance: 2e-5, "tile_transposed") {
          $0.tile_transposed(size, panels, stride, tokens, $1, vectors, accumulate)
        }
      }
    }
  }

  @Test(arguments: sets)
  func decodesLinesAndScalesExactly(set: String) {
    let table = normals(16, 1)
    let codes = (0..<64 * 40).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ $0 >> 3) }
    let scales = normals(41 * 8, 2)
    for lines in [1, 2, 3, 4, 5, 16, 40] {
      for (first, perBlock) in [(0, 1), (0, 2), (1, 2), (3, 4), (0, 4), (5, 8), (7, 256)] {
        compare(set, lines * 128, Float(9), "decode_lines") {
          $0.decode_lines(lines, codes, table, scales, first, perBlock, $1)
        }
      }
    }
    let map = normals(256, 3)
    let absmax = normals(12, 4)
    for (count, first) in [(1, 0), (9, 250), (600, 100), (2560, 0), (17, 511)] {
      compare(set, count, Float(9), "decode_scales") {
        $0.decode_scales(count, first, codes, map, absmax, 0.125, $1)
      }
    }
    for count in Self.sizes {
      let bits = halves(count, 5)
      compare(set, count, Float(9), "widen_bf16") { $0.widen_bf16(count, bits, $1) }
    }
  }

  @Test(arguments: sets, 1...8)
  func multipliesFewTokens(set: String, tokens: Int) {
    let table = normals(16, 1)
    let codes = (0..<64 * 20).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ $0 >> 2) }
    let scales = normals(20 * 8, 2)
    for lines in [1, 2, 4, 9, 20] {
      for perBlock in [1, 2, 4, 256] {
        let x = normals(tokens * lines * 16, 3)
        compare(set, tokens * 8, Float(9), tolerance: 1e-4, "few_lines") {
          $0.few_lines(tokens, lines, codes, table, scales, perBlock, x, lines * 16, $1)
        }
      }
    }
    for k in Self.sizes {
      let x = normals(tokens * k, 4)
      let w = normals(k * 8, 5)
      let bits = halves(k * 8, 6)
      compare(set, tokens * 8, Float(9), tolerance: 2e-5, "few_f32") {
        $0.few_f32(tokens, k, w, x, k, $1)
      }
      compare(set, tokens * 8, Float(9), tolerance: 2e-5, "few_bf16") {
        $0.few_bf16(tokens, k, bits, x, k, $1)
      }
    }
  }

  @Test(arguments: sets, sizes)
  func encodesExactly(set: String, size: Int) {
    let x = normals(size, 9)
    let thresholds = normals(15, 10).sorted()
    #expect(kernels(set).absmax(size, x) == x.map(abs).max())
    for divide: Int32 in [0, 1] {
      compare(set, size, UInt8(99), "encode") {
        $0.encode(size, x, 0.7, divide, thresholds, $1)
      }
      // Values that lie on a threshold take the lower code.
      compare(set, 15, UInt8(99), "encode ties") {
        $0.encode(15, thresholds, 1, divide, thresholds, $1)
      }
    }
  }

  @Test(arguments: sets)
  func exponentialsAreWithinTwoUnits(set: String) {
    var c = [Float](repeating: 0, count: 2000 * 48)
    for index in c.indices { c[index] = -87 * Float(index) / Float(c.count) }
    let shift = [Float](repeating: 0, count: 48)
    var found = c
    kernels(set).lane_exp(2000, &found, shift)
    for index in stride(from: 0, to: c.count, by: 7) {
      let expected = exponential(Double(c[index]))
      #expect(abs(Double(found[index]) - expected) <= 2 * Double(Float(expected).ulp))
    }
  }

  /// exp by its series after halving the argument often enough; needs no library.
  private func exponential(_ x: Double) -> Double {
    var (term, sum) = (1.0, 1.0)
    for index in 1...20 {
      term *= x / 128 / Double(index)
      sum += term
    }
    for _ in 0..<7 { sum *= sum }
    return sum
  }

  @Test(arguments: CPUBackend.instructionSets)
  func softmaxKernelsHandleTheExtremes(set: String) {
    let tiny = Float.leastNonzeroMagnitude * 8
    let values: [Float] = [-.infinity, -200, -104, 0, .nan]
    var c = values.flatMap { [Float](repeating: $0, count: 48) }
    let shift = [Float](repeating: 0, count: 48)
    kernels(set).lane_exp(5, &c, shift)
    #expect(c[0] < tiny && c[48] < tiny && c[96] < tiny && c[144] == 1 && c[192].isNaN)
    var infinite = [Float](repeating: 3, count: 48)
    kernels(set).lane_exp(1, &infinite, [Float](repeating: .infinity, count: 48))
    #expect(infinite.allSatisfy { $0 < tiny })
  }

  @Test(arguments: sets, [1, 2, 63, 64])
  func findsMaximaAndSums(set: String, rows: Int) {
    var c = normals(rows * 48, 11)
    // A tie: the lower row wins.
    if rows > 2 { for lane in 0..<48 { (c[48 + lane], c[96 + lane]) = (9, 9) } }
    compare(set, 48, Float(0), "lane_max") {
      var row = [Int32](repeating: -1, count: 48)
      $0.lane_max(rows, c, $1, &row)
    }
    compare(set, 48, Int32(0), "lane_max row") {
      var largest = [Float](repeating: -1, count: 48)
      $0.lane_max(rows, c, &largest, $1)
    }
    let shift = [Float](repeating: 3, count: 48)
    compare(set, 48, Float(0), tolerance: 1e-5, "lane_exp_sum") {
      $0.lane_exp_sum(rows, c, shift, $1)
    }
  }

  /// The known answers of Random123 for Philox4x32-10 with counter and key zero.
  @Test func dropoutIsPhilox() {
    let words: [UInt32] = [0x6627_E8D5, 0xE169_C58D, 0xBC57_AC4C, 0x9B00_DBD8]
    let ones = [Float](repeating: 1, count: 4)
    for (index, word) in words.enumerated() {
      let rate = Float(Double(word) / 4_294_967_296)
      for (shifted, isKept) in [(rate.nextDown, true), (rate.nextUp, false)] {
        var output: Float = -1
        reference.dropout(1, UInt64(index), shifted, 0, 0, ones, &output)
        #expect((output != 0) == isKept)
      }
    }
  }
}
