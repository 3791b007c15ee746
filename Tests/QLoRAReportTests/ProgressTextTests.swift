// Numbers as people read them, bars and spark lines of any width.
import QLoRAReport
import Testing

@Suite struct ProgressTextTests {
  @Test(arguments: [
    (0, "0:00"), (59.6, "1:00"), (3_599, "59:59"), (3_600, "1:00:00"), (86_399, "23:59:59"),
    (86_400, "1d 0:00:00"), (35_000_000, "405d 2:13:20"), (.infinity, "?"), (1e12, "?"),
  ])
  func durations(seconds: Double, expected: String) {
    #expect(ProgressText.duration(seconds) == expected)
  }

  @Test func barsHaveTheirWidth() {
    for columns in [8, 40] {
      for done in 0...17 {
        #expect(ProgressText.bar(done, of: 17, columns: columns).count == columns)
      }
    }
    #expect(ProgressText.bar(1, of: 2, columns: 8) == "████····")
    #expect(ProgressText.bar(0, of: 0, columns: 8) == "········")
  }

  @Test func sparksShowTheLastValues() {
    #expect(ProgressText.spark([9, 9, 1, 2, 3, 4], columns: 4) == "▁▃▆█")
    #expect(ProgressText.spark([1, .nan, 2], columns: 4) == "▁ █ ")
  }

  @Test(arguments: [(30, 8), (60, 16), (84, 40), (200, 40)])
  func narrowTerminalsKeepTheirNumbers(width: Int, columns: Int) {
    #expect(ProgressText.columns(in: width) == columns)
  }

  @Test func groupsOfThree() {
    #expect(ProgressText.grouped(1_234_567) == "1\u{202F}234\u{202F}567")
    #expect(ProgressText.grouped(-12) == "-12" && ProgressText.grouped(100) == "100")
  }
}
