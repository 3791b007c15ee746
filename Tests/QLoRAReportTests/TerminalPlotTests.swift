// Plots of any width keep their frame, and several curves stay apart without colours.
import QLoRAReport
import Testing

@Suite struct TerminalPlotTests {
  private func series(_ name: String, _ values: [Double]) -> TerminalPlot.Series {
    .init(name, values.enumerated().map { .init(step: $0.offset + 1, value: $0.element) })
  }

  @Test(arguments: [20, 80, 200])
  func linesFitTheWidth(width: Int) {
    let values = (0..<500).map { 3 / Double($0 + 1) }
    let lines = TerminalPlot([series("loss", values)], width: width, rows: 8).text(colors: false)
      .split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 8 + 3)
    #expect(lines.prefix(9).allSatisfy { $0.count <= width })
    #expect(lines.prefix(8).allSatisfy { $0.contains("│") || $0.contains("┤") })
  }

  @Test func aFallGoesFromTheUpperLeftToTheLowerRight() {
    let lines = TerminalPlot([series("loss", [4, 3, 2, 1, 0])], width: 30, rows: 4)
      .text(colors: false).split(separator: "\n")
    #expect(lines[0].contains { "\u{2801}"..."\u{28FF}" ~= $0 })
    #expect(lines[3].hasSuffix("⢄") || lines[3].last.map { "\u{2801}"..."\u{28FF}" ~= $0 } == true)
  }

  @Test func severalCurvesAreToldApart() {
    let plot = TerminalPlot([series("a", [3, 2]), series("b\u{1B}[2J", [1, 1])], width: 40)
    let plain = plot.text(colors: false)
    #expect(plain.contains("•") && plain.contains("+") && !plain.contains("\u{1B}"))
    #expect(plot.text(colors: true).contains("\u{1B}[33m"))
  }

  @Test(arguments: [[], [1], [.nan], [1e300, -1e300]])
  func standsOddData(values: [Double]) {
    #expect(!TerminalPlot([series("loss", values)], width: 40).text(colors: false).isEmpty)
  }
}
