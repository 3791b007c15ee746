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
    values = type.values
    switch type {
    case .nf4:
      ascending = Array(0...15)
    case .fp4:
      // Codes 0 and 8 are both +0: the tiniest negatives and zero become 0, tiny positives 8.
      ascending = [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3]
    }
    let sorted = ascending.map { [values] in values[Int($0)] }
    thresholds = (0..<15).map { (sorted[$0] + sorted[$0 + 1]) / 2 }
  }

  /// What a missing last element is padded with.
  var codeOfZero: UInt8 { ascending[thresholds.firstIndex { $0 >= 0 } ?? 0] }
}
