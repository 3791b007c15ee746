// The plan is a pure function: coverage, order, steps over two epochs, the last smaller step.
import QLoRAData
import QLoRAJSON
import TestSupport
import Testing

struct BatchPlanTests {
  /// The numbers of the rows in a plan's steps, in order.
  private func numbers(_ plan: BatchPlan) throws -> [Int] {
    try (1...plan.stepCount).flatMap { try plan.microBatches(step: $0) }.flatMap { batch in
      batch.bounds.dropLast().map { Int(batch.tokens[$0]) / 1000 }
    }
  }

  @Test func everyRowOncePerEpochInAnotherOrder() throws {
    let plan = BatchPlan(
      rows: numberedRows(Array(repeating: 5, count: 40)),
      settings: BatchSettings(
        maxTokens: 16, batchSize: 2, accumulation: 2, length: .epochs(3), seed: 4))
    let numbers = try numbers(plan)
    let epochs = (0..<3).map { Array(numbers[$0 * 40..<($0 + 1) * 40]) }
    for epoch in epochs { #expect(epoch.sorted() == Array(0..<40)) }
    #expect(Set(epochs).count == 3)
  }

  @Test(arguments: [false, true])
  func withoutShufflingInFileOrder(_ packing: Bool) throws {
    let plan = BatchPlan(
      rows: numberedRows([5, 5, 5, 5, 5]),
      settings: BatchSettings(
        maxTokens: 10, packing: packing, shuffle: false, batchSize: 2, length: .epochs(2)))
    #expect(try numbers(plan) == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
  }

  @Test func lastStepIsSmallerWithEpochs() throws {
    let plan = BatchPlan(
      rows: numberedRows(Array(repeating: 3, count: 7)),
      settings: BatchSettings(
        maxTokens: 8, packing: false, batchSize: 2, accumulation: 2, length: .epochs(1)))
    #expect(plan.stepCount == 2)
    #expect(try plan.sequences(step: 1).map(\.count) == [2, 2])
    #expect(try plan.sequences(step: 2).map(\.count) == [2, 1])
  }

  @Test func aStepSpansTwoEpochs() throws {
    let plan = BatchPlan(
      rows: numberedRows([3, 3, 3]),
      settings: BatchSettings(
        maxTokens: 8, packing: false, shuffle: false, batchSize: 2, length: .steps(4)))
    #expect(plan.stepCount == 4)
    #expect(try numbers(plan) == [0, 1, 2, 0, 1, 2, 0, 1])
  }

  @Test func aStepLargerThanTheData() throws {
    let plan = BatchPlan(
      rows: numberedRows([3, 3]),
      settings: BatchSettings(maxTokens: 8, batchSize: 8, length: .steps(2), seed: 1))
    // Both rows are packed into one sequence, eight epochs make a step.
    #expect(try plan.microBatches(step: 2)[0].bounds.count == 17)
  }

  /// Any step asked for first, or in any order, is what walking from step 1 gives.
  @Test(arguments: 0..<6)
  func randomAccess(_ seed: Int) throws {
    var generator = SeededGenerator(seed: UInt64(seed))
    let lengths = (0..<50).map { _ in Int.random(in: 1...30, using: &generator) }
    let settings = BatchSettings(
      maxTokens: 32, packing: seed % 2 == 0, batchSize: 3, accumulation: 2, length: .steps(40),
      seed: UInt64(seed))
    let rows = numberedRows(lengths)
    let walked = BatchPlan(rows: rows, settings: settings)
    let expected = try (1...40).map { try walked.microBatches(step: $0) }
    let jumping = BatchPlan(rows: rows, settings: settings)
    for step in Array(1...40).shuffled(using: &generator) {
      #expect(try jumping.microBatches(step: step) == expected[step - 1])
    }
    #expect(
      try BatchPlan(rows: rows, settings: settings).microBatches(step: 33) == expected[32])
  }

  @Test func anotherSeedAnotherOrder() throws {
    let rows = numberedRows(Array(repeating: 4, count: 30))
    let orders = try (0..<8).map { seed in
      try numbers(
        BatchPlan(rows: rows, settings: BatchSettings(maxTokens: 8, seed: UInt64(seed))))
    }
    #expect(Set(orders).count == 8)
  }

  @Test func epochProgress() {
    let plan = BatchPlan(
      rows: numberedRows([3, 3, 3, 3]),
      settings: BatchSettings(maxTokens: 4, packing: false, length: .epochs(2)))
    #expect(plan.epochProgress(afterStep: 1) == 0.25)
    #expect(plan.epochProgress(afterStep: 4) == 1)
    #expect(plan.epochProgress(afterStep: 6) == 1.5)
    #expect(plan.epochProgress(afterStep: 8) == 2)
  }

  @Test func previewLines() throws {
    let plan = BatchPlan(
      rows: numberedRows([2, 3, 2]),
      settings: BatchSettings(maxTokens: 5, shuffle: false, batchSize: 2))
    let lines = try plan.preview(9).map { JSONWriter.text($0.json) }
    #expect(
      lines == [
        #"{"step":1,"microBatch":0,"sequence":0,"tokens":[0,1,1000,1001,1002],"#
          + #""labels":[-100,1,-100,1001,1002],"starts":[0,2]}"#,
        #"{"step":1,"microBatch":0,"sequence":1,"tokens":[2000,2001],"labels":[-100,2001],"#
          + #""starts":[0]}"#,
      ])
    #expect(try plan.preview(1).count == 1)
  }
}
