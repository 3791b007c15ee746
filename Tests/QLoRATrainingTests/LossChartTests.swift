// The picture of the loss is drawn from its points alone and is always well-formed.
import Foundation
import QLoRATraining
import Testing

@Suite struct LossChartTests {
  private func chart(_ losses: [Double], title: String = "run") -> String {
    LossChart(
      title: title,
      training: losses.enumerated().map { .init(step: $0.offset + 1, loss: $0.element) },
      evaluations: [.init(step: 2, loss: 1.5)]
    ).svg
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
    let svg = chart(losses)
    #expect(svg.hasSuffix("</svg>\n"))
    #expect(!svg.contains("nan") && !svg.contains("inf"))
  }

  @Test func escapesTheTitle() {
    #expect(chart([1], title: "<a> & b").contains("&lt;a&gt; &amp; b"))
  }

  @Test func longRunsStaySmall() {
    let losses = (0..<100_000).map { 5 / Double($0 + 10) + Double($0 % 7) }
    let svg = chart(losses)
    #expect(svg.utf8.count < 60_000)
  }

  @Test func readsItsPointsFromTheLog() {
    let log = """
      {"step": 1, "loss": 2.5}
      {"step": 1, "evalLoss": 2.25, "evalLabelledTokens": 3}
      {"step": 2, "loss": null}
      {"step": 3, "lo
      """
    let history = LossHistory(metrics: Array(log.utf8))
    #expect(history.training == [.init(step: 1, loss: 2.5)])
    #expect(history.evaluations == [.init(step: 1, loss: 2.25)])
  }
}
