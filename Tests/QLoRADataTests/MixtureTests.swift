// Weights of sources: how often an epoch sees each row, by seed and epoch alone.
import QLoRAData
import Testing

struct MixtureTests {
  private func rows(_ counts: [Int]) -> EncodedRows {
    EncodedRows(
      counts.enumerated().flatMap { source, count in
        (0..<count).map {
          EncodedRow(
            tokens: [Int32(source), Int32($0), 7], labels: [0, 1, 2], source: source, number: $0)
        }
      })
  }

  /// How often each epoch of a plan without packing sees each row, by source.
  private func counts(
    _ sizes: [Int], _ weights: [Double], epochs: Int, shuffle: Bool = true, seed: UInt64 = 1
  ) throws -> [[[Int]]] {
    let plan = BatchPlan(
      rows: rows(sizes),
      settings: BatchSettings(
        maxTokens: 8, packing: false, shuffle: shuffle, length: .epochs(epochs), seed: seed,
        weights: weights))
    let perEpoch = plan.stepCount / epochs
    return (0..<epochs).map { epoch in
      var counts = sizes.map { [Int](repeating: 0, count: $0) }
      for step in 1...perEpoch {
        for row in plan.members(step: epoch * perEpoch + step).flatMap({ $0 }).flatMap({ $0 }) {
          let source = plan.rows.source(row)
          counts[source][plan.rows.number(row)] += 1
        }
      }
      return counts
    }
  }

  @Test func wholeWeightsRepeatRows() throws {
    for epoch in try counts([5, 4], [1, 3], epochs: 2) {
      #expect(epoch == [[1, 1, 1, 1, 1], [3, 3, 3, 3]])
    }
  }

  @Test(arguments: [true, false])
  func aHalfGoesRound(_ shuffle: Bool) throws {
    let epochs = try counts([10, 3], [0.5, 1], epochs: 2, shuffle: shuffle)
    for epoch in epochs {
      #expect(epoch[0].reduce(0, +) == 5)
      #expect(epoch[1] == [1, 1, 1])
    }
    #expect(zip(epochs[0][0], epochs[1][0]).map(+) == Array(repeating: 1, count: 10))
  }

  @Test func fractionsAddUpOverEpochs() throws {
    let epochs = try counts([8], [1.375], epochs: 8)
    for epoch in epochs { #expect(epoch[0].reduce(0, +) == 11) }
    let sums = (0..<8).map { row in epochs.reduce(0) { $0 + $1[0][row] } }
    #expect(sums == Array(repeating: 11, count: 8))
  }

  /// A tenth of three rows: an epoch has one of them or none, thirty epochs each of them thrice.
  @Test func smallSharesTakeTurns() throws {
    let plan = BatchPlan(
      rows: rows([3]),
      settings: BatchSettings(maxTokens: 8, packing: false, length: .epochs(30), weights: [0.1]))
    #expect(plan.stepCount == 9)
    let seen = (1...9).flatMap { plan.members(step: $0).flatMap { $0 }.flatMap { $0 } }
    #expect(seen.sorted() == [0, 0, 0, 1, 1, 1, 2, 2, 2])
    let first = BatchPlan(
      rows: rows([3]), settings: BatchSettings(maxTokens: 8, length: .steps(3), weights: [0.001]))
    #expect(first.members(step: 3).count == 1)
  }

  @Test func seedsChooseOtherRows() throws {
    let chosen = try (0..<6).map {
      try counts([20], [0.25], epochs: 1, seed: UInt64($0))[0][0]
    }
    #expect(Set(chosen).count > 4)
  }

  @Test func weightsOfOneChangeNothing() throws {
    let plain = BatchSettings(maxTokens: 8, batchSize: 2, length: .epochs(2), seed: 9)
    var weighted = plain
    weighted.weights = [1, 1]
    let data = rows([7, 5])
    let (a, b) = (BatchPlan(rows: data, settings: plain), BatchPlan(rows: data, settings: weighted))
    for step in 1...a.stepCount { #expect(a.members(step: step) == b.members(step: step)) }
  }
}
