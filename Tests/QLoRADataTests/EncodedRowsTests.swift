// Packed rows, in memory or in a file: what went in comes out, whatever the place.
import QLoRAData
import TestSupport
import Testing

struct EncodedRowsTests {
  private func randomRows(_ count: Int, seed: UInt64) -> [EncodedRow] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { index in
      let tokens = (0..<Int.random(in: 1...300, using: &generator)).map { _ in
        Int32.random(in: 0...Int32.max, using: &generator)
      }
      var isTrained = Bool.random(using: &generator)
      let labels = tokens.map { token in
        if Int.random(in: 0..<9, using: &generator) == 0 { isTrained.toggle() }
        // Every third row has labels of its own, which no stretch can say.
        return isTrained ? (index % 3 == 0 ? token / 2 : token) : untrainedLabel
      }
      return EncodedRow(tokens: tokens, labels: labels, source: index % 4, number: index * 7)
    }
  }

  @Test func whatGoesInComesOut() throws {
    let rows = randomRows(200, seed: 1)
    #expect(try EncodedRows(rows).all() == rows)
    #expect(EncodedRows(rows).lengths == rows.map(\.tokens.count))
    #expect(try DataFingerprint(EncodedRows(rows)) == DataFingerprint(rows))
    #expect(try EncodedRows([]).all().isEmpty)
  }

  @Test func beyondTheBudgetAFileHoldsThem() throws {
    let folder = try TemporaryFolder()
    let rows = randomRows(6000, seed: 2)
    var small = EncodedRowsBuilder(RowMemory(byteCount: 1 << 20, folder: folder.path("spill")))
    var large = EncodedRowsBuilder(RowMemory(byteCount: 1 << 30, folder: folder.path("spill")))
    for row in rows {
      try small.append(row)
      try large.append(row)
    }
    let (spilled, kept) = (try small.finish(), try large.finish())
    #expect(spilled.isSpilled && !kept.isSpilled)
    #expect(try spilled.all() == rows)
    #expect(try kept.all() == rows)
    #expect(try DataFingerprint(spilled) == DataFingerprint(kept))
    let chosen = [5, 5999, 0, 3000]
    #expect(try spilled.choosing(chosen).choosing([1, 3]).all() == [rows[5999], rows[3000]])
    let settings = BatchSettings(maxTokens: 512, batchSize: 2, length: .steps(5), seed: 3)
    let plans = [spilled, kept].map { BatchPlan(rows: $0, settings: settings) }
    for step in 1...5 {
      #expect(try plans[0].microBatches(step: step) == plans[1].microBatches(step: step))
    }
  }
}
