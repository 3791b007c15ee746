// Concatenation, positions, bounds and the shift.
import QLoRAData
import Testing

struct MicroBatchTests {
  private let batch: MicroBatch = {
    let rows = numberedRows([3, 2, 4])
    return MicroBatch([PackedSequence(rows[..<2]), PackedSequence(rows[2...])])
  }()

  @Test func boundsAndPositions() {
    #expect(batch.tokens == [0, 1, 2, 1000, 1001, 2000, 2001, 2002, 2003])
    #expect(batch.bounds == [0, 3, 5, 9])
    #expect(batch.sequenceBounds == [0, 5, 9])
    #expect(batch.positions == [0, 1, 2, 0, 1, 0, 1, 2, 3])
  }

  @Test func labelsAreMinusHundredAtEveryStart() {
    #expect(batch.labels == [-100, 1, 2, -100, 1001, -100, 2001, 2002, 2003])
    #expect(batch.labelledTokenCount == 6)
  }

  @Test func predictionsNeverCrossABound() {
    let (rows, targets) = batch.predictions()
    #expect(rows == [0, 1, 3, 5, 6, 7])
    #expect(targets == [1, 2, 1001, 2001, 2002, 2003])
  }

  /// Packed or one by one, the same pairs of (position, row's token, target) come out.
  @Test func packedEqualsUnpacked() throws {
    let rows = numberedRows([3, 1, 5, 2, 2, 7, 1])
    func pairs(packing: Bool) throws -> [[Int32]] {
      let plan = BatchPlan(
        rows: rows,
        settings: BatchSettings(maxTokens: 8, packing: packing, batchSize: 2, seed: 5))
      return try (1...plan.stepCount).flatMap { try plan.microBatches(step: $0) }.flatMap { batch in
        let (places, targets) = batch.predictions()
        return zip(places, targets).map {
          [batch.tokens[Int($0)], batch.positions[Int($0)], $1]
        }
      }.sorted { $0.lexicographicallyPrecedes($1) }
    }
    #expect(try pairs(packing: true) == pairs(packing: false))
    #expect(try pairs(packing: true).count == 14)
  }

  @Test func aLoneTokenPredictsNothing() {
    let batch = MicroBatch([PackedSequence(numberedRows([1]))])
    #expect(batch.predictions().targets.isEmpty)
    #expect(batch.bounds == [0, 1])
  }
}
