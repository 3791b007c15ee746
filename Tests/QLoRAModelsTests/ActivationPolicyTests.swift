// What blocks keep changes memory only: losses and gradients are bit for bit those of a plain step.

import QLoRACPU
import QLoRATensor
import Testing
import TinyModel

import QLoRAModels

@Suite struct ActivationPolicyTests {
  /// Every policy for all blocks, and mixtures of them.
  static let choices: [[ActivationPolicy]] =
    ActivationPolicy.allCases.map { [$0] } + [
      [.everything, .input], [.input, .everything], [.residuals, .attention],
      [.attention, .input], [.input, .residuals],
    ]

  private struct Outcome: Equatable {
    var losses: [Double] = []
    var gradients: [[Float]] = []
    var parameters: [[Float]] = []
  }

  /// Losses of three optimizer steps, and the gradients of one more.
  private func train(
    _ tiny: TinyLlama, _ policies: [ActivationPolicy]
  ) throws -> Outcome {
    let blocks = tiny.model.activationPolicies.count
    tiny.model.activationPolicies = (0..<blocks).map { policies[$0 % policies.count] }
    var optimizer = PlainAdamW(tiny.model.parameters)
    var outcome = Outcome()
    for step in 1...3 {
      outcome.losses.append(
        try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step)))
      _ = optimizer.update(tiny.model.backend, count: tiny.batch.rows.count, step: step)
    }
    outcome.losses.append(try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 4))
    outcome.gradients = tiny.model.parameters.map { $0.gradient.floats() }
    outcome.parameters = tiny.model.parameters.map { $0.value.floats() }
    return outcome
  }

  @Test(arguments: choices)
  func changesNoBit(policies: [ActivationPolicy]) throws {
    let cases: [(GoldenBase, DType)] = [
      (.float32, .float32), (.nf4dq, .bfloat16), (.nf4dq, .float16),
    ]
    for (base, dtype) in cases {
      let plain = try train(TinyLlama(base, computeDType: dtype, dropout: 0.1), [.everything])
      let other = try train(TinyLlama(base, computeDType: dtype, dropout: 0.1), policies)
      #expect(other == plain, "\(base) in \(dtype)")
      #expect(plain.gradients.allSatisfy { $0.contains { $0 != 0 } })
    }
  }

  /// Without an adapter on some linear, gradients stop at other places.
  @Test(arguments: choices)
  func changesNoBitWithFewTargets(policies: [ActivationPolicy]) throws {
    for names in [["q_proj"], ["down_proj"], ["up_proj", "o_proj"]] {
      let outcomes = try [[.everything], policies].map { policies in
        let tiny = try TinyLlama(.nf4dq, adapters: false)
        try tiny.model.addAdapters(AdapterOptions(rank: 2, alpha: 4, targets: .names(names)))
        return try train(tiny, policies)
      }
      #expect(outcomes[0] == outcomes[1], "\(names)")
    }
  }

  @Test(arguments: [1, 2, 4])
  func threadsChangeNoBit(threads: Int) throws {
    let expected = try train(TinyLlama(.nf4dq, threads: 3, dropout: 0.1), [.everything])
    for policies in [[ActivationPolicy.everything], [.input, .residuals]] {
      let found = try train(TinyLlama(.nf4dq, threads: threads, dropout: 0.1), policies)
      #expect(found == expected, "\(policies)")
    }
  }

  /// In their order: fewer bytes, more operations.
  @Test func eachPolicyTradesWorkForMemory() throws {
    let costs = try ShapeOnlyLlama().costs()
    for block in costs {
      #expect(block.map(\.policy) == ActivationPolicy.kept)
      for (more, less) in zip(block, block.dropFirst()) {
        #expect(less.keptBytes < more.keptBytes, "\(less.policy)")
        #expect(less.operations > more.operations, "\(less.policy)")
      }
    }
  }
}
