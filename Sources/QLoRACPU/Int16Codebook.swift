// The 4-bit code tables in 16-bit integers.
import CQLoRAKernels
import QLoRATensor

/// Integers in place of a table's 16 values.
struct Int16Codebook {
  /// `[16]` for `x·Wᵀ`: the nearest to value · `rowFactor`.
  let rows: [Int16]
  let rowFactor: Float
  /// `[16]` for `dY·W`: with three bits more, which go when the kernel has multiplied by a ratio.
  let columns: [Int16]

  static let nf4 = Int16Codebook(FourBitTable(.nf4))
  static let fp4 = Int16Codebook(FourBitTable(.fp4))

  static func of(_ type: FourBitType) -> Int16Codebook {
    switch type {
    case .nf4: nf4
    case .fp4: fp4
    }
  }

  /// The errors of 16 roundings are the same in every weight, so it pays to choose the factor for
  /// which their squares' sum is least: for NF4 a sixth of that of a factor taken at random, for
  /// FP4, whose values are multiples of 1/192, none.
  private init(_ table: FourBitTable) {
    let values = table.values.map(Double.init)
    let limit = QLORA_INT16_WEIGHT
    func error(_ factor: Double) -> Double {
      values.reduce(0) { sum, value in
        let difference = (value * factor).rounded() / factor - value
        return sum + difference * difference
      }
    }
    let best = (limit / 2...limit).map(Double.init).min { error($0) < error($1) } ?? Double(limit)
    rows = values.map { Int16(($0 * best).rounded()) }
    rowFactor = Float(best)
    columns = values.map { Int16(($0 * Double(limit * 8)).rounded()) }
  }
}
