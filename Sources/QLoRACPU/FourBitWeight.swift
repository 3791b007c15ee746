// A 4-bit weight in lines of 16 columns by 8 rows, with its scales as nested as in the file.
import CQLoRAKernels
import QLoRATensor

/// Scales of a 4-bit weight in flat block order; `codes` is nil without double quantization.
struct FourBitScales {
  /// `[blocks]` plain scales, or `[ceil(blocks / 256)]` nested ones.
  var absmax: Storage
  var codes: Storage?
  var map: Storage?
  var offset: Float = 0
}

// SAFETY: immutable after its builder has finished.
final class FourBitWeight: PanelWeight, @unchecked Sendable {
  let outFeatures: Int
  let inFeatures: Int
  let specification: QuantizationSpec
  /// `[groups][linesPerGroup][64]`.
  let lines: Storage
  let scales: FourBitScales
  private let table: UnsafeMutablePointer<Float>
  /// log2 of `QuantizationSpec.nestedBlockSize`, which another module's getter would hide from the
  /// compiler in the inner loop.
  private static let nestedBlockBits = 8
  private let offset: Float
  private let absmaxValues: UnsafePointer<Float>
  private let codeValues: UnsafePointer<UInt8>?
  private let mapValues: UnsafePointer<Float>?

  init(
    outFeatures: Int, inFeatures: Int, spec: QuantizationSpec, lines: Storage,
    scales: FourBitScales
  ) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    specification = spec
    self.lines = lines
    self.scales = scales
    offset = scales.offset
    absmaxValues = UnsafePointer(scales.absmax.baseAddress.assumingMemoryBound(to: Float.self))
    codeValues = scales.codes.map {
      UnsafePointer($0.baseAddress.assumingMemoryBound(to: UInt8.self))
    }
    mapValues = scales.map.map {
      UnsafePointer($0.baseAddress.assumingMemoryBound(to: Float.self))
    }
    table = .allocate(capacity: 16)
    table.initialize(from: FourBitTable(spec.type).values, count: 16)
  }

  deinit { table.deallocate() }

  var spec: QuantizationSpec? { specification }
  var blockSize: Int { specification.blockSize }
  var blockCount: Int { (outFeatures * inFeatures + blockSize - 1) / blockSize }
  var linesPerGroup: Int { (inFeatures + 15) / 16 }
  /// Blocks of the flat matrix run over the ends of rows.
  var straddles: Bool { inFeatures % blockSize != 0 }
  var servesFewTokens: Bool { !straddles }

  var lineByteCount: Int { groups * linesPerGroup * 64 }
  var nestedBlockCount: Int {
    (blockCount + QuantizationSpec.nestedBlockSize - 1) / QuantizationSpec.nestedBlockSize
  }

  var byteCount: Int {
    let scaleBytes =
      scales.codes == nil ? 4 * blockCount : blockCount + 4 * nestedBlockCount + 4 * 256
    return lineByteCount + scaleBytes
  }

  static func lineBytes(outFeatures: Int, inFeatures: Int) -> Int {
    (outFeatures + 7) / 8 * ((inFeatures + 15) / 16) * 64
  }

  /// Blocks `blocks` of the flat matrix, as fp32.
  func decodeScales(
    _ blocks: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    guard let codes = codeValues, let map = mapValues else {
      output.update(from: absmaxValues + blocks.lowerBound, count: blocks.count)
      return
    }
    kernels.decode_scales(
      blocks.count, blocks.lowerBound, codes + blocks.lowerBound, map, absmaxValues,
      scales.offset, output)
  }

  /// The scales of blocks `blocks` of each row of a group, as `[blocks][8]`; rows past the last are
  /// given 0, so that they decode to zero.
  func groupScales(
    group: Int, blocks: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let blocksPerRow = inFeatures / blockSize
    let rows = min(8, outFeatures - group * 8)
    if rows < 8 { output.update(repeating: 0, count: blocks.count * 8) }
    if blocks.count < 64 {
      for row in 0..<rows {
        let first = (group * 8 + row) * blocksPerRow + blocks.lowerBound
        for block in 0..<blocks.count { output[block * 8 + row] = scale(first + block) }
      }
      return
    }
    withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks.count) { scales in
      for row in 0..<rows {
        let first = (group * 8 + row) * blocksPerRow + blocks.lowerBound
        decodeScales(first..<first + blocks.count, into: scales.baseAddress!, kernels)
        for block in 0..<blocks.count { output[block * 8 + row] = scales[block] }
      }
    }
  }

  /// One scale of the flat matrix: cheaper than a call of the kernel for the few of a column block.
  @inline(__always)
  private func scale(_ block: Int) -> Float {
    guard let codes = codeValues, let map = mapValues else { return absmaxValues[block] }
    return map[Int(codes[block])] * absmaxValues[block >> Self.nestedBlockBits] + offset
  }

  func codes(group: Int, line: Int) -> UnsafePointer<UInt8> {
    let bytes = lines.baseAddress.assumingMemoryBound(to: UInt8.self)
    return UnsafePointer(bytes + (group * linesPerGroup + line) * 64)
  }

  func decode(
    group: Int, columns: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let firstLine = columns.lowerBound / 16
    let lineCount = (columns.count + 15) / 16
    if straddles {
      decodeStraddling(group, firstLine: firstLine, lineCount: lineCount, into: output, kernels)
      return
    }
    let firstBlock = columns.lowerBound / blockSize
    let blocks = firstBlock..<(columns.upperBound + blockSize - 1) / blockSize
    withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks.count * 8) { scales in
      groupScales(group: group, blocks: blocks, into: scales.baseAddress!, kernels)
      kernels.decode_lines(
        lineCount, codes(group: group, line: firstLine), table, scales.baseAddress,
        firstLine - firstBlock * blockSize / 16, blockSize / 16, output)
    }
  }

  /// Code values first, then every element times the scale of its own flat block.
  private func decodeStraddling(
    _ group: Int, firstLine: Int, lineCount: Int, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: 8) { ones in
      ones.initialize(repeating: 1)
      kernels.decode_lines(
        lineCount, codes(group: group, line: firstLine), table, ones.baseAddress, 0, lineCount,
        output)
    }
    for index in 0..<8 {
      let row = group * 8 + index
      let columns = firstLine * 16..<(firstLine + lineCount) * 16
      let end = min(columns.upperBound, inFeatures)
      guard row < outFeatures, columns.lowerBound < end else {
        for column in 0..<lineCount * 16 { output[column * 8 + index] = 0 }
        continue
      }
      let flat = row * inFeatures
      let first = (flat + columns.lowerBound) / blockSize
      let last = (flat + end - 1) / blockSize
      withUnsafeTemporaryAllocation(of: Float.self, capacity: last - first + 1) { scales in
        decodeScales(first..<last + 1, into: scales.baseAddress!, kernels)
        for column in columns {
          let place = (column - columns.lowerBound) * 8 + index
          output[place] *=
            column < end ? scales[(flat + column) / blockSize - first] : 0
        }
      }
    }
  }

  func few(
    groups: Range<Int>, tokens: Int, _ x: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    let blocks = inFeatures / blockSize
    withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks * 16) { memory in
      guard let flat = memory.baseAddress else { return }
      let scales = flat + blocks * 8
      for group in groups {
        // The blocks of a group's whole rows lie side by side.
        let rows = min(8, outFeatures - group * 8)
        let first = group * 8 * blocks
        decodeScales(first..<first + rows * blocks, into: flat, kernels)
        kernels.panel_f32(rows, blocks, flat, blocks, scales)
        kernels.few_lines(
          tokens, linesPerGroup, codes(group: group, line: 0), table, scales,
          blockSize / 16, x, inFeatures, output + (group - groups.lowerBound) * tokens * 8)
      }
    }
  }
}
