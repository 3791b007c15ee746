// The learning rate against values worked out by hand, and clipping against PyTorch's rule.
import QLoRATensor
import QLoRATraining
import Testing

@Suite struct LearningRateScheduleTests {
  private func rates(_ shape: LearningRateSchedule.Shape, warmup: Int) -> [Double] {
    let schedule = LearningRateSchedule(shape: shape, peak: 2, warmupSteps: warmup, stepCount: 6)
    return (1...6).map(schedule.rate)
  }

  @Test func constant() {
    #expect(rates(.constant, warmup: 2) == [0, 1, 2, 2, 2, 2])
    #expect(rates(.constant, warmup: 0) == [2, 2, 2, 2, 2, 2])
  }

  @Test func linear() {
    #expect(rates(.linear, warmup: 2) == [0, 1, 2, 1.5, 1, 0.5])
  }

  @Test func cosine() {
    let expected = [0, 1, 2, 1.7071067811865475, 1, 0.2928932188134524]
    for (found, wanted) in zip(rates(.cosine, warmup: 2), expected) {
      #expect(abs(found - wanted) < 1e-15)
    }
  }

  @Test(arguments: LearningRateSchedule.Shape.allCases)
  func warmUpAsLongAsTheRun(shape: LearningRateSchedule.Shape) {
    let expected: [Double] = (0..<6).map { 2 * (Double($0) / 6) }
    #expect(rates(shape, warmup: 6) == expected)
  }
}
