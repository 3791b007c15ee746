// When time is nearly up: reckoned from what came between polls, on a clock that the test moves.
import QLoRATraining
import TestSupport
import Testing

@Suite struct DeadlineTests {
  /// Polls at these seconds; which of them asked to stop.
  private func requests(_ limit: Duration, _ seconds: [Double]) -> [Bool] {
    var now = Duration.seconds(1000)
    let deadline = Deadline(limit) { now }
    return seconds.map {
      now = .seconds(1000 + $0)
      return deadline.poll() == Deadline.request
    }
  }

  @Test func leavesTimeForTwoMorePolls() {
    #expect(
      requests(.seconds(100), [10, 20, 30, 40, 50, 60, 70, 77, 79])
        == Array(repeating: false, count: 8) + [true])
    #expect(requests(.seconds(100), [0, 1, 2, 95, 96]) == [false, false, false, true, true])
  }

  /// A step that took 30 seconds may do so again.
  @Test func remembersTheSlowestStep() {
    #expect(
      requests(.seconds(100), [1, 31, 32, 33, 37, 39])
        == Array(repeating: false, count: 5) + [true])
  }

  @Test func loadingDoesNotCountAsAStep() {
    #expect(requests(.seconds(100), [60, 61, 62]) == [false, false, false])
    #expect(requests(.zero, [0]) == [true])
  }

  @Test func aRunStopsAndGoesOn() throws {
    let folder = try TemporaryFolder()
    var seconds = 0.0
    let deadline = Deadline(.seconds(10)) { .seconds(seconds) }
    let outcome = try ToyRun().train(
      folder.path("run"),
      interruption: {
        seconds += 1
        return deadline.poll()
      })
    guard case .interrupted(let step, Deadline.request, _) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(step == 1)
    #expect(try ToyRun().train(folder.path("run")) == .finished(step: 6))
    _ = try ToyRun().train(folder.path("whole"))
    #expect(try ToyResult(folder.path("run")) == ToyResult(folder.path("whole")))
  }
}
