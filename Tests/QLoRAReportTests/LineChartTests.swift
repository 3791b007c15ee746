// Charts are drawn from their points alone and are always well-formed.
import Foundation
import QLoRAReport
import Testing

@Suite struct LineChartTests {
  private func chart(_ losses: [Double], title: String = "run") -> String {
    let log = losses.enumerated().map { "{\"step\": \($0.offset + 1), \"loss\": \($0.element)}\n" }
    let evaluation = "{\"step\": 2, \"evalLoss\": 1.5}\n"
    return RunHistory(metrics: Array((log.joined() + evaluation).utf8))
      .lossChart(title: title).svg()
  }

  @Test func hasALinePerSeries() {
    let svg = chart([3, 2.5, 2, 1.75])
    #expect(svg.components(separatedBy: "<polyline").count == 4)
    #expect(svg.components(separatedBy: "<circle").count == 2)
    #expect(svg.contains("validation 1.5"))
    #expect(svg == chart([3, 2.5, 2, 1.75]))
  }

  @Test(arguments: [[], [1], [2, 2], [0], [1e-12, 2e-12], [.nan, .infinity, 1], [1e9, 1]])
  func standsOddData(losses: [Double]) {
    let svg = LineChart(
      title: "run",
      series: [
        .init("a", losses.enumerated().map { .init(step: $0.offset + 1, value: $0.element) })
      ]
    ).svg()
    #expect(svg.hasSuffix("</svg>\n"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
  }

  @Test func escapesTheTitle() {
    #expect(chart([1], title: "<a> & \"b\"").contains("&lt;a&gt; &amp; &quot;b&quot;"))
  }

  @Test func longRunsStaySmall() {
    let losses = (0..<100_000).map { 5 / Double($0 + 10) + Double($0 % 7) }
    #expect(chart(losses).utf8.count < 60_000)
  }

  @Test func readsItsPointsFromTheLog() {
    let log = """
      {"step": 1, "loss": 2.5}
      {"step": 1, "evalLoss": 2.25, "evalLabelledTokens": 3}
      {"step": 2, "loss": null}
      {"step": 3, "nonFinite": "loss", "action": "skip"}
      {"step": 3, "lo
      """
    let history = RunHistory(metrics: Array(log.utf8))
    #expect(history.losses == [.init(step: 1, value: 2.5)])
    #expect(history.evaluationLosses == [.init(step: 1, value: 2.25)])
    #expect(history.nonFiniteCount == 1)
  }

  @Test func comparisonsNameEveryRun() {
    let history = RunHistory(metrics: Array("{\"step\": 1, \"loss\": 2.5}\n".utf8))
    let svg = RunHistory.comparison(
      title: "Loss", [("one", history), ("<two>", history), ("three", history)]
    ).svg()
    for name in ["one 2.5", "&lt;two&gt; 2.5", "three 2.5"] { #expect(svg.contains(name)) }
  }
}
