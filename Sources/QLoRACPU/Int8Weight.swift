// An 8-bit weight in bands of 32 rows (`qlora_kernels_int8.h`).
import CQLoRAKernels
import QLoRATensor

// SAFETY: immutable after its builder has finished; `codes` holds all bands, `scales` and
// `corrections` a value for each of their rows.
/// Source: Dettmers et al. 2022, "LLM.int8()", arXiv:2208.07339.
final class Int8Weight: PanelWeight, @unchecked Sendable {
  static let bandRows = QLORA_INT8_ROWS
  /// What a code of 1 is of its row's scale: 1/127.
  static let unit = 1 / Float(QLORA_INT8_LARGEST)

  /// What makes codes of values whose largest magnitude is `largest`: 127 times the reciprocal, in
  /// this order, because PyTorch divides a number by a tensor so.
  static func factor(_ largest: Float) -> Float {
    largest > 0 ? 1 / largest * Float(QLORA_INT8_LARGEST) : 0
  }

  let outFeatures: Int
  let inFeatures: Int
  let specification: Int8Spec
  /// `[bands][fours][32][4]` int8.
  let codes: Storage
  /// `[bands · 32]` float32, 0 past the last row.
  let scales: Storage
  /// `[bands · 32]` int32: what the bias of activations would add to each row's sums, negated.
  let corrections: Storage
  private let kernels: qlora_int8_kernels

  var spec: QuantizationSpec? { nil }
  var servesFewTokens: Bool { true }
  var bands: Int { Self.bands(outFeatures) }
  /// Fours of columns, the last one zero padded.
  var fours: Int { (inFeatures + 3) / 4 }
  var codeByteCount: Int { Self.codeBytes(outFeatures, inFeatures) }
  var byteCount: Int { codeByteCount + bands * Self.bandRows * 8 }

  init(
    outFeatures: Int, inFeatures: Int, spec: Int8Spec, codes: Storage, scales: Storage,
    corrections: Storage, _ kernels: qlora_int8_kernels
  ) {
    self.outFeatures = outFeatures
    self.inFeatures = inFeatures
    specification = spec
    self.codes = codes
    self.scales = scales
    self.corrections = corrections
    self.kernels = kernels
  }

  /// A weight whose memory comes from `allocate`, which takes bytes.
  convenience init(
    outFeatures: Int, inFeatures: Int, spec: Int8Spec, _ kernels: qlora_int8_kernels,
    _ allocate: (Int) -> Storage
  ) {
    let rowBytes = Self.bands(outFeatures) * Self.bandRows * 4
    self.init(
      outFeatures: outFeatures, inFeatures: inFeatures, spec: spec,
      codes: allocate(Self.codeBytes(outFeatures, inFeatures)), scales: allocate(rowBytes),
      corrections: allocate(rowBytes), kernels)
  }

  static func bands(_ outFeatures: Int) -> Int { (outFeatures + bandRows - 1) / bandRows }

  static func codeBytes(_ outFeatures: Int, _ inFeatures: Int) -> Int {
    bands(outFeatures) * ((inFeatures + 3) / 4) * bandRows * 4
  }

  func band(_ index: Int) -> UnsafeMutablePointer<Int8> {
    codes.baseAddress.assumingMemoryBound(to: Int8.self) + index * fours * Self.bandRows * 4
  }

  func scales(band: Int) -> UnsafeMutablePointer<Float> {
    scales.baseAddress.assumingMemoryBound(to: Float.self) + band * Self.bandRows
  }

  func corrections(band: Int) -> UnsafeMutablePointer<Int32> {
    corrections.baseAddress.assumingMemoryBound(to: Int32.self) + band * Self.bandRows
  }

  /// The four codes of a row in `four`, the following ones 128 bytes apart.
  func fours(row: Int) -> UnsafeMutablePointer<Int8> {
    band(row / Self.bandRows) + row % Self.bandRows * 4
  }

  func decode(
    group: Int, columns: Range<Int>, into output: UnsafeMutablePointer<Float>,
    _ kernels: qlora_product_kernels
  ) {
    let (first, fours) = (columns.lowerBound / 4, (columns.count + 3) / 4)
    let groupsPerBand = Self.bandRows / 8
    self.kernels.decode(
      fours, self.fours(row: group * 8) + first * Self.bandRows * 4,
      scales(band: group / groupsPerBand) + group % groupsPerBand * 8, Self.unit, output)
  }

  func few(
    groups: Range<Int>, tokens: Int, _ x: UnsafePointer<Float>,
    into output: UnsafeMutablePointer<Float>, _ kernels: qlora_product_kernels
  ) {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: fours * 4 * 8) { panel in
      guard let panel = panel.baseAddress else { return }
      for group in groups {
        decode(group: group, columns: 0..<inFeatures, into: panel, kernels)
        kernels.few_f32(
          tokens, inFeatures, panel, x, inFeatures,
          output + (group - groups.lowerBound) * tokens * 8)
      }
    }
  }
}
