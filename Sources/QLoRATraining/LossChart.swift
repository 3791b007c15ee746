// `loss.svg`: the losses of a run as one small picture that suits light and dark pages. It reads
// nothing and knows no files.

/// A line chart of the training loss, smoothed and raw, with evaluations as dots.
package struct LossChart: Sendable {
  package struct Point: Sendable, Equatable {
    package var step: Int
    package var loss: Double

    package init(step: Int, loss: Double) {
      self.step = step
      self.loss = loss
    }
  }

  private static let plot = (left: 56.0, right: 704.0, top: 48.0, bottom: 320.0)
  /// Steps on either side that the smoothed line averages, where there are many steps.
  private static let widestReach = 10
  /// Columns that a long run is thinned to: one for each unit of the plot's width.
  private static let columns = 648
  /// How many intervals an axis aims at.
  private static let tickTarget = 5.0

  private let title: String
  private let training: [Point]
  private let evaluations: [Point]
  private let lossTicks: [Double]
  private let stepTicks: [Double]

  /// Points without a finite loss are left out.
  package init(title: String, training: [Point], evaluations: [Point]) {
    self.title = title
    self.training = training.filter { $0.loss.isFinite }
    self.evaluations = evaluations.filter { $0.loss.isFinite }
    let losses = (self.training + self.evaluations).map(\.loss)
    let steps = (self.training + self.evaluations).map { Double($0.step) }
    lossTicks = Self.ticks(losses.min() ?? 0, losses.max() ?? 1)
    stepTicks = Self.ticks(0, steps.max() ?? 1)
  }

  /// Round numbers from at or below `low` to at or above `high`, 1, 2 or 5 · 10ⁿ apart.
  static func ticks(_ low: Double, _ high: Double) -> [Double] {
    let span = max(high - low, high.magnitude * 1e-6, 1e-9)
    var unit = 1.0
    while unit * 10 <= span / tickTarget { unit *= 10 }
    while unit > span / tickTarget { unit /= 10 }
    let step = [1.0, 2, 5, 10].map { $0 * unit }.first { span / $0 <= tickTarget + 1 } ?? unit * 10
    let first = (low / step).rounded(.down)
    let last = max((high / step).rounded(.up), first + 1)
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }

  private static func round(_ value: Double) -> String {
    let hundredths = (value * 100).rounded() / 100
    return hundredths == hundredths.rounded() ? "\(Int(hundredths))" : "\(hundredths)"
  }

  private static func label(_ value: Double) -> String {
    let short = (value * 1e6).rounded() / 1e6
    return short == short.rounded() && short.magnitude < 1e9 ? "\(Int(short))" : "\(short)"
  }

  private func x(_ step: Double) -> Double {
    let (low, high) = (stepTicks[0], stepTicks[stepTicks.count - 1])
    return Self.plot.left + (step - low) / (high - low) * (Self.plot.right - Self.plot.left)
  }

  private func y(_ loss: Double) -> Double {
    let (low, high) = (lossTicks[0], lossTicks[lossTicks.count - 1])
    return Self.plot.bottom - (loss - low) / (high - low) * (Self.plot.bottom - Self.plot.top)
  }

  /// The mean of the losses around each step: centred, so that it lags behind no fall.
  private var smoothed: [Point] {
    let reach = min(Self.widestReach, training.count / 20)
    return training.indices.map { index in
      // As narrow at the start as there are losses before, or the first fall would be flattened.
      let reach = min(reach, index)
      let near = training[(index - reach)...min(training.count - 1, index + reach)]
      let mean = near.reduce(0) { $0 + $1.loss } / Double(near.count)
      return Point(step: training[index].step, loss: mean)
    }
  }

  /// At most two points a column, the lowest and the highest of its steps, in their order.
  private static func thinned(_ points: [Point]) -> [Point] {
    let width = (points.count + columns - 1) / columns
    guard width > 2 else { return points }
    return stride(from: 0, to: points.count, by: width).flatMap { start in
      let part = points[start..<min(start + width, points.count)]
      let ends = [part.min { $0.loss < $1.loss }, part.max { $0.loss < $1.loss }]
      return ends.compactMap { $0 }.sorted { $0.step < $1.step }
    }
  }

  private func line(_ points: [Point], _ style: String) -> String {
    let places = Self.thinned(points).map {
      Self.round(x(Double($0.step))) + "," + Self.round(y($0.loss))
    }
    return "<polyline class=\"\(style)\" points=\"\(places.joined(separator: " "))\"/>\n"
  }

  private func text(
    _ content: String, x: Double, y: Double, anchor: String, style: String = "label"
  ) -> String {
    let escaped = content.map { character in
      switch character {
      case "&": "&amp;"
      case "<": "&lt;"
      case ">": "&gt;"
      default: String(character)
      }
    }.joined()
    return "<text class=\"\(style)\" x=\"\(Self.round(x))\" y=\"\(Self.round(y))\" "
      + "text-anchor=\"\(anchor)\">\(escaped)</text>\n"
  }

  private var axes: String {
    var output = ""
    for tick in lossTicks {
      let height = Self.round(y(tick))
      output += "<line class=\"grid\" x1=\"\(Self.round(Self.plot.left))\" y1=\"\(height)\" "
      output += "x2=\"\(Self.round(Self.plot.right))\" y2=\"\(height)\"/>\n"
      output += text(Self.label(tick), x: Self.plot.left - 8, y: y(tick) + 4, anchor: "end")
    }
    for tick in stepTicks {
      output += text(
        Self.label(tick), x: x(tick), y: Self.plot.bottom + 20, anchor: "middle")
    }
    return output + text("step", x: Self.plot.left - 8, y: Self.plot.bottom + 20, anchor: "end")
  }

  /// The last losses, each after a dot in its line's colour.
  private var caption: String {
    func part(_ name: String, _ color: String, _ last: Point?) -> String? {
      let loss = last.map { Self.label(($0.loss * 1e3).rounded() / 1e3) }
      return loss.map { "<tspan class=\"\(color)\">●</tspan> \(name) \($0)" }
    }
    let parts = [
      part("training", "ink", smoothed.last), part("validation", "dot", evaluations.last),
    ]
    return "<text class=\"label\" x=\"\(Self.round(Self.plot.right))\" y=\"28\" "
      + "text-anchor=\"end\">\(parts.compactMap { $0 }.joined(separator: "\u{2003}"))</text>\n"
  }

  /// The picture; equal points give equal text.
  package var svg: String {
    var output = """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 360" width="720" height="360" \
      role="img" aria-label="Loss by step">
      <style>
      svg { font: 12px system-ui, sans-serif; background: #fff; color: #1f2328 }
      .title { font-size: 15px; font-weight: 600; fill: currentColor }
      .label { fill: #656d76 }
      .grid { stroke: #d8dee4; stroke-width: 1 }
      .raw, .mean, .evaluation { fill: none; stroke-linejoin: round }
      .raw { stroke: #0969da; stroke-opacity: 0.3 }
      .mean { stroke: #0969da; stroke-width: 2 }
      .evaluation { stroke: #bc4c00; stroke-width: 2 }
      .dot { fill: #bc4c00 }
      .ink { fill: #0969da }
      @media (prefers-color-scheme: dark) {
      svg { background: #0d1117; color: #e6edf3 }
      .label { fill: #8b949e }
      .grid { stroke: #30363d }
      .raw, .mean { stroke: #58a6ff }
      .evaluation { stroke: #f0883e }
      .dot { fill: #f0883e }
      .ink { fill: #58a6ff }
      }
      </style>

      """
    output += text(title, x: Self.plot.left, y: 28, anchor: "start", style: "title")
    output += caption + axes + line(training, "raw") + line(smoothed, "mean")
    if !evaluations.isEmpty { output += line(evaluations, "evaluation") }
    for point in evaluations {
      let (column, row) = (Self.round(x(Double(point.step))), Self.round(y(point.loss)))
      output += "<circle class=\"dot\" cx=\"\(column)\" cy=\"\(row)\" r=\"3\"/>\n"
    }
    return output + "</svg>\n"
  }
}
