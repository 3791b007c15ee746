// Packed rows must give what the same rows give apart: attention and positions respect bounds.

import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct PackingEquivalenceTests {
  @Test func packedLossAndGradientsEqualTheRowsApart() throws {
    let packed = try TinyLlama(.nf4dq)
    let apart = try TinyLlama(.nf4dq)
    let packedSum = try packed.model.accumulateGradients(packed.batch, dropoutStream: 0)
    var apartSum = 0.0
    for row in 0..<packed.batch.bounds.count - 1 {
      apartSum += try apart.model.accumulateGradients(packed.batch.row(row), dropoutStream: 0)
    }
    #expect(abs(packedSum - apartSum) / apartSum <= 1e-6)
    for (a, b) in zip(packed.model.parameters, apart.model.parameters) {
      let error = relativeError(a.gradient.floats(), b.gradient.floats())
      #expect(error <= 1e-5, "\(a.name): \(error)")
    }
  }

  @Test func incrementalDecodingEqualsOneForwardPass() throws {
    let tiny = try TinyLlama(.nf4dq)
    let row = tiny.batch.row(0)
    let whole = tiny.model.logits(row).floats()
    let cache = tiny.model.makeCache()
    let vocabulary = tiny.model.config.vocabularySize
    var fed = 0
    for count in [5, 1, 1, 3] {
      let logits = tiny.model.nextLogits(after: Array(row.tokens[fed..<fed + count]), cache)
      fed += count
      let expected = Array(whole[(fed - 1) * vocabulary..<fed * vocabulary])
      #expect(relativeError(logits, expected) <= 1e-5, "after \(fed) tokens")
    }
    #expect(cache.count == fed)
  }
}

extension TokenBatch {
  /// One packed row as a batch of its own.
  func row(_ index: Int) -> TokenBatch {
    let range = bounds[index]..<bounds[index + 1]
    let kept = rows.indices.filter { range.contains(Int(rows[$0])) }
    return TokenBatch(
      tokens: Array(tokens[range]), positions: Array(positions[range]), bounds: [0, range.count],
      rows: kept.map { rows[$0] - Int32(range.lowerBound) }, targets: kept.map { targets[$0] })
  }
}
