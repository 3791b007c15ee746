// Curves over the steps of a run as one small picture that suits light and dark pages: `loss.svg`
// and the figures of `report.html`. It reads nothing and knows no files.

package struct LineChart: Sendable {
  package struct Point: Sendable, Equatable {
    package var step: Int
    package var value: Double

    package init(step: Int, value: Double) {
      self.step = step
      self.value = value
    }
  }

  package struct Series: Sendable {
    package enum Form: Sendable { case faint, line, dots }

    var name: String
    var points: [Point]
    var form: Form
    /// Which of the page's colours it has.
    var color: Int

    /// Points without a finite value are left out.
    package init(_ name: String, _ points: [Point], _ form: Form = .line, color: Int = 0) {
      self.name = name
      self.points = points.filter { $0.value.isFinite }
      self.form = form
      self.color = color % ChartStyle.colorCount
    }
  }

  private static let plot = (left: 64.0, right: 704.0, top: 48.0, bottom: 320.0)
  /// Columns that a long run is thinned to: one for each unit of the plot's width.
  private static let columns = 640

  private let title: String
  private let series: [Series]
  private let valueTicks: [Double]
  private let stepTicks: [Double]

  package init(title: String, series: [Series]) {
    self.title = title
    self.series = series
    let points = series.flatMap(\.points)
    let values = points.map(\.value)
    valueTicks = ChartTicks.around(values.min() ?? 0, values.max() ?? 1)
    stepTicks = ChartTicks.around(0, Double(points.map(\.step).max() ?? 1))
  }

  private func x(_ step: Double) -> Double {
    let (low, high) = (stepTicks[0], stepTicks[stepTicks.count - 1])
    return Self.plot.left + (step - low) / (high - low) * (Self.plot.right - Self.plot.left)
  }

  private func y(_ value: Double) -> Double {
    let (low, high) = (valueTicks[0], valueTicks[valueTicks.count - 1])
    return Self.plot.bottom - (value - low) / (high - low) * (Self.plot.bottom - Self.plot.top)
  }

  /// At most two points a column, the lowest and the highest of its steps, in their order.
  static func thinned(_ points: [Point], to columns: Int = columns) -> [Point] {
    let width = (points.count + columns - 1) / columns
    guard width > 2 else { return points }
    return stride(from: 0, to: points.count, by: width).flatMap { start in
      let part = points[start..<min(start + width, points.count)]
      let ends = [part.min { $0.value < $1.value }, part.max { $0.value < $1.value }]
      return ends.compactMap { $0 }.sorted { $0.step < $1.step }
    }
  }

  private func place(_ point: Point) -> (x: String, y: String) {
    (ChartTicks.round(x(Double(point.step))), ChartTicks.round(y(point.value)))
  }

  private func drawing(_ series: Series) -> String {
    guard !series.points.isEmpty else { return "" }
    let places = Self.thinned(series.points).map(place).map { "\($0.x),\($0.y)" }
    let faint = series.form == .faint ? " faint" : ""
    var output =
      "<polyline class=\"curve c\(series.color)\(faint)\" "
      + "points=\"\(places.joined(separator: " "))\"/>\n"
    // A line of one point would be invisible.
    if series.form == .dots || (series.points.count == 1 && series.form == .line) {
      for point in Self.thinned(series.points) {
        let (column, row) = place(point)
        output += "<circle class=\"dot c\(series.color)\" cx=\"\(column)\" cy=\"\(row)\" r=\"3\">"
        output += "<title>step \(point.step): \(ChartTicks.label(point.value))</title></circle>\n"
      }
    }
    return output
  }

  private func text(
    _ content: String, x: Double, y: Double, anchor: String, style: String = "label"
  ) -> String {
    "<text class=\"\(style)\" x=\"\(ChartTicks.round(x))\" y=\"\(ChartTicks.round(y))\" "
      + "text-anchor=\"\(anchor)\">\(HTMLText.escape(content))</text>\n"
  }

  private var axes: String {
    var output = ""
    for tick in valueTicks {
      let height = ChartTicks.round(y(tick))
      output += "<line class=\"grid\" x1=\"\(ChartTicks.round(Self.plot.left))\" y1=\"\(height)\" "
      output += "x2=\"\(ChartTicks.round(Self.plot.right))\" y2=\"\(height)\"/>\n"
      output += text(ChartTicks.label(tick), x: Self.plot.left - 8, y: y(tick) + 4, anchor: "end")
    }
    for tick in stepTicks {
      output += text(
        ChartTicks.label(tick), x: x(tick), y: Self.plot.bottom + 20, anchor: "middle")
    }
    return output + text("step", x: Self.plot.left - 8, y: Self.plot.bottom + 20, anchor: "end")
  }

  /// The last values, each after a dot in its line's colour: beside the title, or below each other
  /// where there are many.
  private var caption: String {
    let parts = series.filter { $0.form != .faint }.compactMap { series in
      series.points.last.map { last in
        "<tspan class=\"dot c\(series.color)\">●</tspan> \(HTMLText.escape(series.name)) "
          + ChartTicks.label(ChartTicks.shortened(last.value))
      }
    }
    let lines = parts.count > 2 ? parts : [parts.joined(separator: "\u{2003}")]
    let (first, spacing) = (parts.count > 2 ? Self.plot.top + 16 : 28, 18.0)
    return lines.enumerated().map { index, line in
      "<text class=\"label\" x=\"\(ChartTicks.round(Self.plot.right))\" "
        + "y=\"\(ChartTicks.round(first + Double(index) * spacing))\" "
        + "text-anchor=\"end\">\(line)</text>\n"
    }.joined()
  }

  /// The picture as a file of its own, or as a part of a page that has `ChartStyle.css`; equal
  /// points give equal text.
  package func svg(isStandalone: Bool = true) -> String {
    var output = "<svg \(isStandalone ? "xmlns=\"http://www.w3.org/2000/svg\" " : "")"
    output += "class=\"chart\" viewBox=\"0 0 720 360\" width=\"720\" height=\"360\" role=\"img\" "
    output += "aria-label=\"\(HTMLText.escape(title))\">\n"
    if isStandalone { output += "<style>\n\(ChartStyle.css)\n</style>\n" }
    output += text(title, x: Self.plot.left, y: 28, anchor: "start", style: "title")
    return output + caption + axes + series.map(drawing).joined() + "</svg>\n"
  }
}
