// Numbers of a run as people read them.
import QLoRATraining

package enum ProgressText {
  /// Width of bar and spark line where there is room.
  package static let columns = 40

  /// The same in a terminal of some width, so that numbers still stand beside them.
  package static func columns(in width: Int) -> Int {
    let (numbers, least) = (44, 8)
    return min(columns, max(least, width - numbers))
  }

  /// How much is done, in eighths of a column.
  package static func bar(
    _ done: Int, of count: Int, columns: Int = ProgressText.columns
  ) -> String {
    let eighths = Array(" ▏▎▍▌▋▊▉")
    let filled = count > 0 ? min(done, count) * columns * 8 / count : 0
    let rest = filled % 8
    let bar = String(repeating: "█", count: filled / 8) + (rest > 0 ? String(eighths[rest]) : "")
    return bar + String(repeating: "·", count: columns - bar.count)
  }

  /// `512 KiB`, `98 MiB`.
  package static func size(_ bytes: Int) -> String {
    bytes < 1 << 20 ? "\(bytes >> 10) KiB" : "\(bytes >> 20) MiB"
  }

  /// Thousands apart: `1 234 567`, with spaces that do not break.
  package static func grouped(_ value: Int) -> String {
    let digits = Array(String(value.magnitude))
    let groups = digits.indices.map { index in
      index > 0 && (digits.count - index) % 3 == 0 ? "\u{202F}\(digits[index])" : "\(digits[index])"
    }
    return (value < 0 ? "-" : "") + groups.joined()
  }

  /// Bars of eight heights, the smallest loss lowest; values that are not finite leave a gap.
  package static func spark(_ values: [Double], columns: Int = ProgressText.columns) -> String {
    let values = values.suffix(columns)
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

  package static func rates(_ metrics: StepMetrics) -> String {
    "\(Int(metrics.tokensPerSecond.rounded())) tokens/s  "
      + "rate \(scientific(metrics.learningRate))  norm \(decimal(metrics.gradientNorm, 2))  "
      + "memory \(size(metrics.peakMemoryBytes))"
  }

  /// `1:02:03`, `2:03` below an hour, `4d 1:02:03` from a day on.
  package static func duration(_ seconds: Double) -> String {
    guard seconds.isFinite, seconds < 1e9 else { return "?" }
    let total = Int(seconds.rounded())
    func two(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
    let (days, hours) = (total / 86_400, total / 3_600 % 24)
    let (minutes, rest) = (total / 60 % 60, total % 60)
    if days == 0, hours == 0 { return "\(minutes):\(two(rest))" }
    return (days > 0 ? "\(days)d " : "") + "\(hours):\(two(minutes)):\(two(rest))"
  }

  /// A fixed number of decimals; the value itself where it is too large for that.
  package static func decimal(_ value: Double, _ places: Int) -> String {
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
  package static func scientific(_ value: Double) -> String {
    guard value.isFinite, value != 0 else { return "\(value)" }
    var mantissa = value.magnitude
    var exponent = 0
    while mantissa >= 9.995 { (mantissa, exponent) = (mantissa / 10, exponent + 1) }
    while mantissa < 0.9995 { (mantissa, exponent) = (mantissa * 10, exponent - 1) }
    return "\(value < 0 ? "-" : "")\(decimal(mantissa, 2))e\(exponent)"
  }
}
