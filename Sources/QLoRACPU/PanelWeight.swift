// Weights in panels of 8 rows, as the product kernels read them (`qlora_kernels_product.h`).
import CQLoRAKernels
import QLoRATensor

/// A weight that can decode any rectangle of one group of 8 rows.
protocol PanelWeight: PreparedWeight {
  /// Columns `columns` of group `group` to `[columns][8]` fp32. `columns` starts at a multiple of
  /// 16; up to 15 further columns may be written when it does not end at one.
  func decode(
    group: Int, columns: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels)

  /// Whether `few` works for this weight.
  var servesFewTokens: Bool { get }

  /// `output [groups][tokens][8]` = `x [tokens, in]` times `groups`; at most 8 tokens.
  func few(
    groups: Range<Int>, tokens: Int, _ x: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels)
}

extension PanelWeight {
  /// Groups of 8 rows, the last one padded.
  var groups: Int { (outFeatures + 7) / 8 }
}

// SAFETY: immutable after its builder has finished.
/// A weight of floats of 32 or 16 bits in panels.
final class DenseWeight: PanelWeight, @unchecked Sendable {
  let outFeatures: Int
  let inFeatures: Int
  let dtype: DType
  let panels: Storage
  private let rows: qlora_row_kernels
  var spec: QuantizationSpec? { nil }
  var servesFewTokens: Bool { dtype != .float16 }
  /// Elements with those of the rows that fill the last group.
  var paddedCount: Int { groups * 8 * inFeatures }
  var byteCount: Int { Self.panelBytes(outFeatures, inFeatures, dtype) }

  init(
    outFeatures: Int, inFeatures: Int, dtype: DType, panels: Storage, _ rows: qlora_row_kernels
  ) {
    self.rows = rows
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    self.dtype = dtype
    self.panels = panels
  }

  /// Panels of zeros.
  convenience init(
    outFeatures: Int, inFeatures: Int, dtype: DType, _ rows: qlora_row_kernels
  ) {
    let bytes = Self.panelBytes(outFeatures, inFeatures, dtype)
    let panels = Storage(byteCount: bytes)
    panels.baseAddress.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    self.init(
      outFeatures: outFeatures, inFeatures: inFeatures, dtype: dtype, panels: panels, rows)
  }

  static func panelBytes(_ outFeatures: Int, _ inFeatures: Int, _ dtype: DType) -> Int {
    (outFeatures + 7) / 8 * 8 * inFeatures * dtype.byteSize
  }

  func decode(
    group: Int, columns: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let start = (group * inFeatures + columns.lowerBound) * 8
    if dtype == .float32 {
      let values = panels.baseAddress.assumingMemoryBound(to: Float.self) + start
      output.update(from: values, count: columns.count * 8)
      return
    }
    let bits = panels.baseAddress.assumingMemoryBound(to: UInt16.self) + start
    if dtype == .bfloat16 {
      kernels.widen_bf16(columns.count * 8, bits, output)
    } else {
      rows.convert(columns.count * 8, bits, dtype.element, output, qlora_element_f32)
    }
  }

  func few(
    groups: Range<Int>, tokens: Int, _ x: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    let isFloat = dtype == .float32
    for group in groups {
      let start = group * inFeatures * 8
      let sums = output + (group - groups.lowerBound) * tokens * 8
      if isFloat {
        let values = panels.baseAddress.assumingMemoryBound(to: Float.self) + start
        kernels.few_f32(tokens, inFeatures, values, x, inFeatures, sums)
      } else {
        let bits = panels.baseAddress.assumingMemoryBound(to: UInt16.self) + start
        kernels.few_bf16(tokens, inFeatures, bits, x, inFeatures, sums)
      }
    }
  }

  /// Stores a stretch of one row; for its builder alone.
  func insert(_ values: UnsafePointer<Float>, count: Int, row: Int, column: Int) {
    let place = (row / 8 * inFeatures + column) * 8 + row % 8
    if dtype == .float32 {
      let panel = panels.baseAddress.assumingMemoryBound(to: Float.self) + place
      for index in 0..<count { panel[index * 8] = values[index] }
    } else {
      let panel = panels.baseAddress.assumingMemoryBound(to: UInt16.self) + place
      for index in 0..<count {
        let value = values[index]
        panel[index * 8] =
          dtype == .bfloat16 ? value.bfloat16Bits : Float16(value).bitPattern
      }
    }
  }

  /// Stores the whole rows of a group, `values [rows][in]`, by way of `scratch [in][8]`; for its
  /// builder alone.
  func insertGroup(
    _ group: Int, _ values: UnsafePointer<Float>, _ scratch: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let rows = min(8, outFeatures - group * 8)
    let place = panels.baseAddress + group * 8 * inFeatures * dtype.byteSize
    if dtype == .float32 {
      kernels.panel_f32(
        rows, inFeatures, values, inFeatures, place.assumingMemoryBound(to: Float.self))
    } else {
      kernels.panel_f32(rows, inFeatures, values, inFeatures, scratch)
      self.rows.convert(8 * inFeatures, scratch, qlora_element_f32, place, dtype.element)
    }
  }
}
