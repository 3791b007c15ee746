// A training step after the first takes nothing from the system and nothing large from the heap.

import CAllocationCounter
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct AllocationTests {
  /// One thread, because the counter counts one.
  private func makeTiny(_ policy: ActivationPolicy) throws -> (TinyLlama, StoragePool) {
    let tiny = try TinyLlama(.nf4dq, threads: 1, computeDType: .bfloat16, dropout: 0.1)
    tiny.model.activationPolicies = tiny.model.activationPolicies.map { _ in policy }
    return (tiny, try #require(tiny.model.backend as? CPUBackend).storagePool)
  }

  /// All and large heap allocations of a whole optimizer step.
  private func count(_ tiny: TinyLlama, _ optimizer: inout PlainAdamW, _ step: Int) throws -> (
    all: Int, large: Int
  ) {
    var (all, large) = (0, 0)
    qlora_start_counting(64 << 10)
    defer { qlora_stop_counting(&all, &large) }
    _ = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step))
    _ = optimizer.update(tiny.model.backend, count: tiny.batch.rows.count, step: step)
    qlora_stop_counting(&all, &large)
    return (all, large)
  }

  @Test(arguments: ActivationPolicy.allCases)
  func laterStepsTakeNothing(policy: ActivationPolicy) throws {
    let (tiny, pool) = try makeTiny(policy)
    var optimizer = PlainAdamW(tiny.model.parameters)
    _ = try count(tiny, &optimizer, 1)
    let first = pool.statistics
    let later = try (2...7).map { try count(tiny, &optimizer, $0) }
    #expect(pool.statistics == first, "the pool grew, or kept something")
    #expect(first.liveBytes == 0 && first.growthCount > 0)
    guard qlora_counts_allocations() else { return }
    #expect(later.allSatisfy { $0.large == 0 })
    let counts = later.map(\.all)
    #expect(Set(counts).count == 1, "each step takes as many as the last: \(counts)")
    let least = try #require(counts.min())
    #expect(least > 0, "nothing was counted")
    // Small objects: shapes, tensors, places, closures of the tape and lists of terms.
    let blocks = tiny.model.activationPolicies.count
    #expect(least < 600 * blocks)
  }

  /// Packed micro-batches differ in their tokens; together they take hardly more than the largest.
  @Test(arguments: ActivationPolicy.allCases)
  func batchesOfAllSizesShareThePool(policy: ActivationPolicy) throws {
    let hollow = try ShapeOnlyLlama()
    let (model, pool) = (hollow.model, hollow.backend.storagePool)
    model.activationPolicies = model.activationPolicies.map { _ in policy }
    var generator = SeededGenerator(seed: 8)
    let batches = (0..<60).map { _ in
      TokenBatch.made(lengths: (0..<4).map { _ in 100 + generator.below(400) })
    }
    let alone = batches.map { batch in
      pool.restart()
      _ = model.accumulateGradients(batch, dropoutStream: 0) { _ in }
      return pool.statistics.extentBytes
    }
    pool.restart()
    for batch in batches { _ = model.accumulateGradients(batch, dropoutStream: 0) { _ in } }
    let largest = try #require(alone.max())
    #expect(pool.statistics.extentBytes <= largest * 105 / 100)
    #expect(pool.statistics.liveBytes == 0)
  }
}

extension TokenBatch {
  /// Packed sequences of these lengths, every token labelled that has a next one.
  fileprivate static func made(lengths: [Int]) -> TokenBatch {
    let bounds = lengths.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1) }
    let positions = lengths.flatMap { 0..<Int32($0) }
    let rows = positions.indices.dropLast().filter { positions[$0 + 1] != 0 }
    return TokenBatch(
      tokens: positions.map { _ in 0 }, positions: positions, bounds: bounds,
      rows: rows.map { Int32($0) }, targets: rows.map { _ in 0 })
  }
}
