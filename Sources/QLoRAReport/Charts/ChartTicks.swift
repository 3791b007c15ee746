// Round numbers for axes, and numbers as charts write them.

enum ChartTicks {
  /// How many intervals an axis aims at.
  private static let target = 5.0

  /// Round numbers from at or below `low` to at or above `high`, 1, 2 or 5 · 10ⁿ apart.
  static func around(_ low: Double, _ high: Double) -> [Double] {
    let span = max(high - low, high.magnitude * 1e-6, 1e-12)
    var unit = 1.0
    while unit * 10 <= span / target { unit *= 10 }
    while unit > span / target { unit /= 10 }
    let step = [1.0, 2, 5, 10].map { $0 * unit }.first { span / $0 <= target + 1 } ?? unit * 10
    let first = (low / step).rounded(.down)
    let last = max((high / step).rounded(.up), first + 1)
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  /// A place in a picture, to a hundredth.
  static func round(_ value: Double) -> String {
    let hundredths = (value * 100).rounded() / 100
    return hundredths == hundredths.rounded() ? "\(Int(hundredths))" : "\(hundredths)"
  }

  /// To four significant digits.
  static func shortened(_ value: Double) -> Double {
    guard value.isFinite, value != 0 else { return value }
    var scale = 1.0
    while value.magnitude * scale < 1_000, scale < 1e12 { scale *= 10 }
    return (value * scale).rounded() / scale
  }

  static func label(_ value: Double) -> String {
    // Multiples of a tick carry the noise of their product.
    let digits = 1e-9 * value.magnitude
    let whole = value.rounded()
    if (value - whole).magnitude <= digits, whole.magnitude < 1e9 { return "\(Int(whole))" }
    return "\(clean(value))"
  }

  /// Without noise behind the twelfth significant digit.
  private static func clean(_ value: Double) -> Double {
    guard value.isFinite, value != 0 else { return value }
    var scale = 1.0
    while value.magnitude * scale < 1e8, scale < 1e15 { scale *= 10 }
    return (value * scale).rounded() / scale
  }
}
