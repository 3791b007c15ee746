// A training step after the first takes nothing from the system and nothing large from the heap.

import CAllocationCounter
import QLoRACPU
import QLoRATensor
import Testing

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
    let second = try count(tiny, &optimizer, 2)
    let third = try count(tiny, &optimizer, 3)
    #expect(pool.statistics == first, "the pool grew, or kept something")
    #expect(first.liveBytes == 0 && first.growthCount > 0)
    guard qlora_counts_allocations() else { return }
    #expect(second == third)
    #expect(third.all > 0, "nothing was counted")
    #expect(third.large == 0)
    print("ALLOC", policy, third)
  }
}
