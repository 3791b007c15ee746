// 4-bit weights decoded to 16-bit integers, for both directions of the product.
import CQLoRAKernels
import QLoRATensor

// SAFETY: as in `FourBitWeight.swift`; callers give outputs of the sizes that each function names.
extension FourBitWeight {
  /// A group for `x·Wᵀ`: codes `[in / 2][8][2]` and the scales of rows `[segments][8]`.
  func decodeRows(
    group: Int, segment: Int, into output: UnsafeMutablePointer<Int16>,
    scales: UnsafeMutablePointer<Float>, _ kernels: qlora_int16_kernels,
    _ product: qlora_product_kernels
  ) {
    let codebook = Int16Codebook.of(specification.type)
    kernels.decode_rows(linesPerGroup, codes(group: group, line: 0), codebook.rows, output)
    let blocks = inFeatures / blockSize
    groupScales(group: group, blocks: 0..<blocks, into: scales, product)
    let unit = 1 / codebook.rowFactor
    // In place, from the last: a block may hold several segments.
    let segments = blockSize / segment
    for place in stride(from: (blocks * segments - 1) * 8, through: 0, by: -8) {
      let source = place / 8 / segments * 8
      for row in 0..<8 { scales[place + row] = scales[source + row] * unit }
    }
  }

  /// Columns `columns` of a group for `dY·W`: per 8 columns the four pairs of rows `[4][8][2]`,
  /// `stride` integers apart, as shares of each row's factor.
  func decodeColumns(
    group: Int, columns: Range<Int>, ratios: UnsafePointer<Int16>,
    into output: UnsafeMutablePointer<Int16>, stride: Int, _ kernels: qlora_int16_kernels
  ) {
    let line = columns.lowerBound / 16
    kernels.decode_columns(
      (columns.count + 15) / 16, codes(group: group, line: line),
      Int16Codebook.of(specification.type).columns, ratios, line, blockSize / 16, output, stride)
  }

  /// What scales are for `dY·W`, where they vary along the reduction: a factor for each row, the
  /// largest of its scales, that goes into dY, and the ratio of each scale to it in 15 bits.
  /// - Parameters:
  ///   - factors: `[8 · groups]`.
  ///   - ratios: `[groups][blocks][8]`.
  func splitScales(
    group: Int, factors: UnsafeMutablePointer<Float>, ratios: UnsafeMutablePointer<Int16>,
    _ product: qlora_product_kernels
  ) {
    let blocks = inFeatures / blockSize
    let output = ratios + group * blocks * 8
    withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks * 8) { scales in
      guard let scale = scales.baseAddress else { return }
      groupScales(group: group, blocks: 0..<blocks, into: scale, product)
      for row in 0..<8 {
        var largest: Float = 0
        for block in 0..<blocks { largest = max(largest, abs(scale[block * 8 + row])) }
        factors[group * 8 + row] = largest
        let inverse = largest > 0 ? 32768 / largest : 0
        for block in 0..<blocks {
          // Nested scales may be a little below zero. One ratio in 32768 is cut to fit.
          let ratio = (scale[block * 8 + row] * inverse).rounded()
          output[block * 8 + row] = Int16(max(-32767, min(32767, ratio)))
        }
      }
    }
  }
}
