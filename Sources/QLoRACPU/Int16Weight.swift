// Any weight in 16-bit integers: codes of 4-bit weights as they are, all others rounded on the way.
import CQLoRAKernels
import QLoRATensor

// SAFETY: pointers lie inside weights and in scratch whose sizes each function names.
struct Int16Weight {
  let weight: any PanelWeight
  /// nil where there are no codes that share scales along rows.
  let fourBit: FourBitWeight?
  /// Panels that need no decoding.
  private let floats: DenseWeight?

  init(_ weight: any PanelWeight) {
    self.weight = weight
    fourBit = (weight as? FourBitWeight).flatMap { $0.straddles ? nil : $0 }
    floats = (weight as? DenseWeight).flatMap {
      $0.dtype == .float32 && $0.inFeatures % 8 == 0 ? $0 : nil
    }
  }

  /// The most columns that share a scale and fit a segment of the kernels.
  var longestSegment: Int { min(fourBit?.blockSize ?? .max, QLORA_INT16_SEGMENT) }

  /// Floats of scratch that `decodeRows` needs.
  var panelFloats: Int { fourBit == nil && floats == nil ? (weight.inFeatures + 16) * 8 : 0 }

  /// A group for `x·Wᵀ`: codes `[depth / 2][8][2]`, columns past the last zero, and the scales of
  /// rows `[segments][8]`.
  func decodeRows(
    group: Int, segment: Int, depth: Int, into codes: UnsafeMutablePointer<Int16>,
    scales: UnsafeMutablePointer<Float>, panel: UnsafeMutablePointer<Float>,
    _ kernels: qlora_int16_kernels, _ product: qlora_product_kernels
  ) {
    let columns = weight.inFeatures
    if let fourBit {
      fourBit.decodeRows(
        group: group, segment: segment, into: codes, scales: scales, kernels, product)
    } else if let floats {
      kernels.quantize_rows(
        depth, segment, floats.panel(group: group, column: 0), codes, scales)
    } else {
      weight.decode(group: group, columns: 0..<columns, into: panel, product)
      (panel + columns * 8).update(repeating: 0, count: (depth - columns) * 8)
      kernels.quantize_rows(depth, segment, panel, codes, scales)
    }
  }

  /// A segment of up to 8 groups for `dY·W`, for a weight without codes: per 8 columns the codes
  /// `[4 · groups][8][2]`, `stride` apart, and the scales `[8]`, `scaleStride` apart.
  /// - Parameter panel: scratch of `groups.count · 8 · width` floats, where `width` is the number
  ///   of columns rounded up to 16.
  func decodeColumns(
    groups: Range<Int>, columns: Range<Int>, into codes: UnsafeMutablePointer<Int16>,
    stride codeStride: Int, scales: UnsafeMutablePointer<Float>, scaleStride: Int,
    panel: UnsafeMutablePointer<Float>, _ kernels: qlora_int16_kernels,
    _ product: qlora_product_kernels
  ) {
    var source = UnsafePointer(panel)
    var groupStride = (columns.count + 15) / 16 * 128
    if let floats {
      source = floats.panel(group: groups.lowerBound, column: columns.lowerBound)
      groupStride = weight.inFeatures * 8
    } else {
      for group in groups {
        weight.decode(
          group: group, columns: columns,
          into: panel + (group - groups.lowerBound) * groupStride, product)
      }
    }
    for index in 0..<(columns.count + 7) / 8 {
      kernels.quantize_columns(
        groups.count, source + index * 64, groupStride, codes + index * codeStride,
        scales + index * scaleStride)
    }
  }
}

extension DenseWeight {
  /// Where a float32 weight holds a group from a column on.
  fileprivate func panel(group: Int, column: Int) -> UnsafePointer<Float> {
    UnsafePointer(panels.baseAddress.assumingMemoryBound(to: Float.self))
      + (group * inFeatures + column) * 8
  }
}
