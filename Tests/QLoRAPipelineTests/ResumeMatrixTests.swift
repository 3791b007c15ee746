// Runs of many kinds, cut in many places and on other threads, end with the bits of uninterrupted
// ones. With QLORA_SOAK=1 the whole matrix, else a sample of it.
import Foundation
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct ResumeMatrixTests {
  static let isWhole = ProcessInfo.processInfo.environment["QLORA_SOAK"] == "1"

  /// In CI each value of each axis comes up.
  static let cases = isWhole ? ResumeCase.all(160) : sample

  /// Every fifth of the pairs, and the values that are not in them.
  private static var sample: [ResumeCase] {
    let pairs = ResumeCase.pairwise.enumerated().filter { $0.offset % 5 == 0 }.map(\.element)
    let rest = ResumeCase.single.filter { single in
      single.choice.enumerated().contains { axis, value in
        value > 0 && !pairs.contains { $0.choice[axis] == value }
      }
    }
    return pairs + rest
  }

  @Test(arguments: cases)
  func cutAndResumed(_ trial: ResumeCase) throws {
    let tiny = try TinyRun()
    let recorder = PollRecorder()
    try tiny.train(
      "whole", trial.settings, interruption: recorder.poll, events: recorder.note)
    let polls = try #require(recorder.polls(before: trial.cut))
    let stop = StopAfter(polls: polls)
    let settings = trial.settings + ["threads=\(trial.threads)"]
    #expect(try tiny.train("cut", settings, interruption: stop.poll).interrupted)
    try tiny.resume("cut")
    #expect(try tiny.result("cut") == tiny.result("whole"))
  }

  @Test func theWholeMatrixIsLargeEnough() {
    let all = ResumeCase.all(160)
    #expect(all.count >= 160 && Set(all).count == all.count)
    #expect(Set(all.map(\.threads)) == [1, 2, 4])
    for (axis, values) in ResumeCase.axes.enumerated() {
      #expect(Set(all.map { $0.choice[axis] }).count == values.count)
    }
  }
}
