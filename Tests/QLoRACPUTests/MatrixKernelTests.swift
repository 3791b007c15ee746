// Every kernel of bf16 products of this CPU against the scalar reference, with guards around all
// outputs.
import CQLoRAKernels
import QLoRACPU
import TestSupport
import Testing

struct MatrixKernelTests {
  /// Instruction sets of this CPU with kernels of bf16 products, but the reference.
  static let sets = CPUBackend.instructionSets.filter {
    $0 != "reference" && qlora_kernels_for($0)?.pointee.matrix != nil
  }

  /// The scalar kernels, whose product adds in the order of the set.
  private func reference(_ set: String) -> qlora_matrix_kernels {
    var kernels = qlora_matrix_reference
    if set == "avx512bf16" { kernels.product = productOfPairs }
    return kernels
  }

  private func kernels(_ name: String) throws -> qlora_matrix_kernels {
    try #require(qlora_kernels_for(name)?.pointee.matrix?.pointee)
  }

  private func normals(_ count: Int, _ seed: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return generator.normals(count)
  }

  private func halves(_ count: Int, _ seed: UInt64) -> [UInt16] {
    normals(count, seed).map(\.bfloat16Bits)
  }

  /// Runs a kernel of both tables on outputs of their own, which must come out equal.
  private func compare<Element: Equatable>(
    _ set: String, _ count: Int, _ start: Element, _ what: String,
    _ body: (qlora_matrix_kernels, UnsafeMutablePointer<Element>) -> Void
  ) throws {
    let expected = Guarded(count, filledWith: start)
    let found = Guarded(count, filledWith: start)
    body(reference(set), expected.pointer)
    body(try kernels(set), found.pointer)
    #expect(found.isIntact && expected.isIntact, "\(set) \(what) wrote outside")
    #expect(found.values == expected.values, "\(set) \(what)")
  }

  @Test(arguments: sets, [1, 15, 16, 17, 31, 32, 33, 64, 100])
  func packsStrips(set: String, k: Int) throws {
    let steps = (k + 31) / 32
    for rows in [1, 2, 31, 32] {
      let stride = k + 3
      var values = normals(rows * stride, 1)
      values[0] = 1e-40
      let bits = halves(rows * stride, 2)
      try compare(set, steps * 1024, UInt16(7), "strip_f32 \(rows)") { kernels, out in
        kernels.strip_f32(rows, k, values, stride, out)
      }
      try compare(set, steps * 1024, UInt16(7), "strip_bf16 \(rows)") { kernels, out in
        kernels.strip_bf16(rows, k, bits, stride, out)
      }
    }
  }

  @Test(arguments: sets, [32, 96])
  func laysPixelsIntoPlanes(set: String, channels: Int) throws {
    for (pixels, repeats) in [(1, 1), (5, 1), (33, 2)] {
      let bits = halves(pixels * channels, 1)
      let stride = 32 * pixels * repeats + 64
      let count = (channels / 32 - 1) * stride + 32 * pixels * repeats
      try compare(set, count, UInt16(7), "planes_bf16 \(pixels)") { kernels, out in
        kernels.planes_bf16(pixels, channels, bits, repeats, out, stride)
      }
    }
  }

  /// Strips as planes give them, against blocks that lie further apart than their steps take.
  @Test(arguments: sets, [0, 1])
  func multipliesStepsThatLieApart(set: String, accumulate: Int32) throws {
    let (steps, blocks) = (3, 2)
    let (strip, columns) = (halves(steps * 1500 + 1024, 1), halves(blocks * 5 * 1024, 2))
    try compare(set, 32 * 32 * blocks, Float(3), "product") { kernels, c in
      strip.withUnsafeBufferPointer { strip in
        columns.withUnsafeBufferPointer { columns in
          var part = qlora_matrix_part(
            steps: steps, strip: strip.baseAddress! + 32, columns: columns.baseAddress,
            strip_stride: 1500, block_stride: 5 * 1024)
          kernels.product(1, &part, blocks, c, 32 * blocks, accumulate)
        }
      }
    }
  }

  @Test(arguments: sets, [1, 2, 15, 16, 31, 32, 33, 96])
  func packsHalves(set: String, k: Int) throws {
    // A half ends 1 KiB before its last step does.
    let count = ((k + 31) / 32 - 1) * 1024 + 512
    let (first, second) = (normals(8 * k, 1), normals(8 * k, 2))
    try compare(set, count, UInt16(7), "half_of_rows") { kernels, out in
      kernels.half_of_rows(k, first, second, out)
    }
    for columns in [1, 7, 15, 16] {
      let values = normals(k * 19, 3)
      let bits = halves(k * 19, 4)
      try compare(set, count, UInt16(7), "half_of_tokens_f32 \(columns)") { kernels, out in
        kernels.half_of_tokens_f32(k, columns, values, 19, out)
      }
      try compare(set, count, UInt16(7), "half_of_tokens_bf16 \(columns)") { kernels, out in
        kernels.half_of_tokens_bf16(k, columns, bits, 19, out)
      }
    }
    let groups = (k + 7) / 8
    let panels = normals(groups * 150, 5)
    let padded = ((groups + 3) / 4 - 1) * 1024 + 512
    try compare(set, padded, UInt16(7), "half_of_columns") { kernels, out in
      kernels.half_of_columns(groups, panels, 150, out)
    }
  }

  @Test(arguments: sets, [1, 16, 17, 333])
  func takesRoundingsApart(set: String, count: Int) throws {
    let values = normals(count, 1)
    try compare(set, count, Float(7), "residual") { kernels, out in
      kernels.residual(count, values, out)
    }
  }

  @Test(arguments: sets, [0, 1])
  func multiplies(set: String, accumulate: Int32) throws {
    for (steps, second, blocks) in [(1, 0, 1), (3, 1, 2), (18, 2, 3)] {
      let strips = [halves(steps * 1024, 1), halves(max(1, second) * 1024, 2)]
      let columns = [halves(blocks * steps * 1024, 3), halves(blocks * max(1, second) * 1024, 4)]
      let stride = 32 * blocks + 16
      // The last row ends where its columns do.
      try compare(set, 31 * stride + 32 * blocks, Float(3), "product \(steps)") { kernels, c in
        strips[0].withUnsafeBufferPointer { strip in
          columns[0].withUnsafeBufferPointer { column in
            strips[1].withUnsafeBufferPointer { moreStrip in
              columns[1].withUnsafeBufferPointer { moreColumn in
                let parts = [
                  qlora_matrix_stretch(steps, strip.baseAddress, column.baseAddress),
                  qlora_matrix_stretch(second, moreStrip.baseAddress, moreColumn.baseAddress),
                ]
                kernels.product(second == 0 ? 1 : 2, parts, blocks, c, stride, accumulate)
              }
            }
          }
        }
      }
    }
  }

  @Test(arguments: sets, [1, 16, 31, 32, 40, 65])
  func stores(set: String, columns: Int) throws {
    let (sums, bias) = (normals(32 * 70, 1), normals(columns, 2))
    for rows in [1, 5, 32] {
      let count = (rows - 1) * (columns + 3) + columns
      try compare(set, count, Float(2), "store_f32") { kernels, out in
        kernels.store_f32(rows, columns, sums, 70, bias, out, columns + 3, 1)
      }
      try compare(set, count, Float(2), "store_f32 plain") { kernels, out in
        kernels.store_f32(rows, columns, sums, 70, nil, out, columns + 3, 0)
      }
      try compare(set, count, UInt16(2), "store_bf16") { kernels, out in
        kernels.store_bf16(rows, columns, sums, 70, bias, out, columns + 3)
      }
    }
  }

  @Test(arguments: sets, [1, 5, 16, 33, 64, 100])
  func sweepsTheVocabulary(set: String, columns: Int) throws {
    let stride = columns + 5
    let logits = normals(32 * stride, 1).map { 4 * $0 }
    for rows in [1, 7, 32] {
      let start = (0..<rows).map { row in
        // New rows, rows that have seen a larger logit, and targets here and elsewhere.
        qlora_softmax_row(
          largest: row % 3 == 0 ? -.infinity : row % 3 == 1 ? 0.5 : 30, winner: 3,
          others: row % 3 == 0 ? 0 : 2, target: Int32(row % 2 == 0 ? 1000 + row % columns : 4),
          target_logit: 0.25)
      }
      var (expected, found) = (start, start)
      let steps = (columns + 31) / 32
      let weights = [0, 1].map { _ in Guarded(steps * 1024, filledWith: UInt16(7)) }
      let factors = [0, 1].map { _ in Guarded(rows, filledWith: Float(7)) }
      reference(set).softmax(
        rows, columns, logits, stride, 1000, &expected, factors[0].pointer, weights[0].pointer)
      try kernels(set).softmax(
        rows, columns, logits, stride, 1000, &found, factors[1].pointer, weights[1].pointer)
      #expect((weights + []).allSatisfy(\.isIntact) && factors.allSatisfy(\.isIntact))
      for (left, right) in zip(expected, found) {
        #expect(left.largest == right.largest && left.winner == right.winner)
        #expect(left.target_logit == right.target_logit && left.target == right.target)
        #expect(abs(left.others - right.others) <= 1e-6 * left.others)
      }
      for (left, right) in zip(factors[0].values, factors[1].values) {
        #expect(abs(left - right) <= 1e-6)
      }
      // One rounding to 8 bits, at whose border either side is right.
      for (left, right) in zip(weights[0].values, weights[1].values) {
        #expect(abs(Int(left) - Int(right)) <= 1)
      }
      var silent = start
      try kernels(set).softmax(rows, columns, logits, stride, 1000, &silent, nil, nil)
      #expect(zip(silent, found).allSatisfy { $0.others == $1.others })
    }
  }
}

// SAFETY: places are those of the contract's layouts, in memory that the tests made for them.
/// The product as dot products add it: to each sum a pair's odd product, then its even one.
private func productOfPairs(
  parts: Int, part: UnsafePointer<qlora_matrix_part>?, blocks: Int,
  c: UnsafeMutablePointer<Float>?, stride: Int, accumulate: Int32
) {
  guard let part, let c else { return }
  for row in 0..<32 {
    for column in 0..<32 * blocks {
      let place = row * stride + column
      if accumulate == 0 { c[place] = 0 }
      for p in 0..<parts { addPairs(of: part[p], row, column, to: &c[place]) }
    }
  }
}

private func addPairs(of part: qlora_matrix_part, _ row: Int, _ column: Int, to sum: inout Float) {
  guard let strip = part.strip, let columns = part.columns else { return }
  let half = column / 32 * part.block_stride + column % 32 / 16 * 512
  for pair in 0..<part.steps * 16 {
    let (step, place) = (pair / 16, pair % 16)
    let left = strip + step * part.strip_stride + row * 32 + 2 * place
    let right = columns + half + step * 1024 + place * 32 + column % 16 * 2
    sum += widened(left[1]) * widened(right[1])
    sum += widened(left[0]) * widened(right[0])
  }
}

private func widened(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }
