// The two 4-bit code tables of bitsandbytes and their rounding thresholds.
import QLoRATensor

/// Code values, and how a normalised value becomes a code.
/// Source: Dettmers et al. 2023, "QLoRA", arXiv:2305.14314, appendix E.
struct FourBitTable {
  /// `[16]`: what each code decodes to.
  let values: [Float]
  /// Codes in ascending order of their values.
  let ascending: [UInt8]
  /// `[15]` midpoints between neighbours in ascending order; a value on one takes the lower code.
  let thresholds: [Float]

  init(_ type: FourBitType) {
    switch type {
    case .nf4:
      values = Self.nf4
      ascending = Array(0...15)
    case .fp4:
      values = Self.fp4
      // Codes 0 and 8 are both +0: the tiniest negatives and zero become 0, tiny positives 8.
      ascending = [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3]
    }
    let sorted = ascending.map { [values] in values[Int($0)] }
    thresholds = (0..<15).map { (sorted[$0] + sorted[$0 + 1]) / 2 }
  }

  /// What a missing last element is padded with.
  var codeOfZero: UInt8 { ascending[thresholds.firstIndex { $0 >= 0 } ?? 0] }

  private static let nf4: [Float] = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
  ]

  /// Sign, two exponent bits, one mantissa bit, over 12.
  private static let fp4: [Float] = [
    0, 0.0625 / 12, 8 / 12, 1, 4 / 12, 6 / 12, 2 / 12, 3 / 12,
    0, -0.0625 / 12, -8 / 12, -1, -4 / 12, -6 / 12, -2 / 12, -3 / 12,
  ]
}
