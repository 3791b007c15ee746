// Numbers of a run as people read them.
import QLoRATraining

enum ProgressText {
  /// Width of bar and spark line.
  static let columns = 40

  /// How much is done, in eighths of a column.
  static func bar(_ done: Int, of count: Int) -> String {
    let eighths = Array(" ▏▎▍▌▋▊▉")
    let filled = count > 0 ? min(done, count) * columns * 8 / count : 0
    let rest = filled % 8
    let bar = String(repeating: "█", count: filled / 8) + (rest > 0 ? String(eighths[rest]) : "")
    return bar + String(repeating: "·", count: columns - bar.count)
  }

  /// `512 KiB`, `98 MiB`.
  static func size(_ bytes: Int) -> String {
    bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB"
  }

  /// Bars of eight heights, the smallest loss lowest; values that are not finite leave a gap.
  static func spark(_ values: [Double]) -> String {
    let bars = Array("▁▂▃▄▅▆▇█")
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max() else { return "" }
    let line = String(
      values.map { value in
        guard value.isFinite else { return " " }
        guard high > low else { return bars[0] }
        let height = (value - low) / (high - low) * Double(bars.count - 1)
        return bars[Int(height.rounded())]
      })
    return line + String(repeating: " ", count: max(0, columns - values.count))
  }

  static func rates(_ metrics: StepMetrics) -> String {
    "\(Int(metrics.tokensPerSecond.rounded())) tokens/s  "
      + "rate \(scientific(metrics.learningRate))  norm \(decimal(metrics.gradientNorm, 2))  "
      + "memory \(size(metrics.peakMemoryBytes))"
  }

  /// `1:02:03`, or `2:03` below an hour.
  static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let total = Int(seconds.rounded())
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let (hours, minutes, rest) = (total / 3600, total / 60 % 60, total % 60)
    return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
  }

  /// A fixed number of decimals; the value itself where it is too large for that.
  static func decimal(_ value: Double, _ places: Int) -> String {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e15 else { return "\(value)" }
    let digits = String(Int(scaled))
    let padded = String(repeating: "0", count: max(0, places + 1 - digits.count)) + digits
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return places == 0
      ? sign + padded : "\(sign)\(padded.dropLast(places)).\(padded.suffix(places))"
  }

  /// Three digits and a power of ten: `1.00e-3`.
  static func scientific(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return "\(value)" }
    var mantissa = value.magnitude
    var exponent = 0
    while mantissa >= 9.995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return "\(value < 0 ? "-" : "")\(decimal(mantissa, 2))e\(exponent)"
  }
}
