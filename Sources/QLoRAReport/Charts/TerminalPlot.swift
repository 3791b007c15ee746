// Curves in a terminal: a braille character holds two by four dots. Colours tell several curves
// apart, or signs where there are none.

package struct TerminalPlot {
  package struct Series {
    var name: String
    var points: [LineChart.Point]

    package init(_ name: String, _ points: [LineChart.Point]) {
      self.name = name
      self.points = points.filter { $0.value.isFinite }
    }
  }

  /// Blue, yellow, green, magenta, cyan, red.
  private static let colors = [34, 33, 32, 35, 36, 31]
  private static let signs: [Character] = ["•", "+", "x", "o", "#", "*"]
  /// Bits of a braille character by column and row of its dots.
  private static let dots: [[UInt32]] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]]
  private static let brailleBase: UInt32 = 0x2800

  private let series: [Series]
  private let columns: Int
  private let rows: Int
  private let valueTicks: [Double]
  private let lastStep: Double

  /// - Parameters:
  ///   - width: columns of the terminal.
  ///   - rows: lines of the curve itself.
  package init(_ series: [Series], width: Int, rows: Int = 16) {
    self.series = series
    self.rows = rows
    let points = series.flatMap(\.points)
    valueTicks = ChartTicks.around(
      points.map(\.value).min() ?? 0, points.map(\.value).max() ?? 1)
    lastStep = Double(max(1, points.map(\.step).max() ?? 1))
    let labels = valueTicks.map { ChartTicks.label($0).count }.max() ?? 0
    columns = max(10, width - labels - 3)
  }

  /// A column and a row of dots, the upper left first.
  private func dot(_ point: LineChart.Point) -> (x: Int, y: Int) {
    let (low, high) = (valueTicks[0], valueTicks[valueTicks.count - 1])
    let across = Double(point.step) / lastStep * Double(columns * 2 - 1)
    let down = (high - point.value) / (high - low) * Double(rows * 4 - 1)
    return (Int(across.rounded()), Int(down.rounded()))
  }

  /// The dots of a curve: its points and the straight way between neighbours.
  private func path(_ points: [LineChart.Point]) -> [(x: Int, y: Int)] {
    let corners = LineChart.thinned(points, to: columns * 2).map(dot)
    var path = corners.prefix(1).map { $0 }
    for (from, to) in zip(corners, corners.dropFirst()) {
      let count = max(abs(to.x - from.x), abs(to.y - from.y), 1)
      path += (1...count).map { step in
        let part = Double(step) / Double(count)
        return (
          from.x + Int((Double(to.x - from.x) * part).rounded()),
          from.y + Int((Double(to.y - from.y) * part).rounded())
        )
      }
    }
    return path
  }

  package func text(colors: Bool) -> String {
    let usesSigns = series.count > 1 && !colors
    var cells = [[UInt32]](repeating: [UInt32](repeating: 0, count: columns), count: rows)
    var owners = [[Int]](repeating: [Int](repeating: 0, count: columns), count: rows)
    for (index, curve) in series.enumerated() {
      for dot in path(curve.points) {
        cells[dot.y / 4][dot.x / 2] |= Self.dots[dot.x % 2][dot.y % 4]
        owners[dot.y / 4][dot.x / 2] = index
      }
    }
    func cell(_ row: Int, _ column: Int) -> String {
      guard cells[row][column] != 0 else { return " " }
      let owner = owners[row][column]
      let dots = Unicode.Scalar(Self.brailleBase + cells[row][column]).map { String($0) } ?? "•"
      let sign = usesSigns ? String(Self.signs[owner % Self.signs.count]) : dots
      return colors ? Self.paint(sign, owner) : sign
    }
    let lines = (0..<rows).map { row in
      label(row) + (0..<columns).map { cell(row, $0) }.joined()
    }
    return (lines + [footer] + legend(colors: colors, signs: usesSigns)).joined(separator: "\n")
  }

  private var labelWidth: Int { valueTicks.map { ChartTicks.label($0).count }.max() ?? 0 }

  /// The axis beside a line, with the tick that falls into it.
  private func label(_ row: Int) -> String {
    let tick = valueTicks.first { dot(.init(step: 0, value: $0)).y / 4 == row }
    let text = tick.map(ChartTicks.label) ?? ""
    let pad = String(repeating: " ", count: labelWidth - text.count)
    return pad + text + (tick == nil ? " │" : " ┤")
  }

  private var footer: String {
    let pad = String(repeating: " ", count: labelWidth + 1)
    let last = "step \(Int(lastStep))"
    return pad + "└" + String(repeating: "─", count: columns) + "\n" + pad + " 0"
      + String(repeating: " ", count: max(1, columns - 1 - last.count)) + last
  }

  private func legend(colors: Bool, signs: Bool) -> [String] {
    series.enumerated().map { index, curve in
      let sign = signs ? String(Self.signs[index % Self.signs.count]) : "⣀"
      let last = curve.points.last.map { ChartTicks.label(ChartTicks.shortened($0.value)) } ?? ""
      let mark = colors ? Self.paint(sign, index) : sign
      return "  \(mark) \(HTMLText.plain(curve.name)) \(last)"
    }
  }

  private static func paint(_ text: String, _ index: Int) -> String {
    "\u{1B}[\(colors[index % colors.count])m\(text)\u{1B}[0m"
  }
}
