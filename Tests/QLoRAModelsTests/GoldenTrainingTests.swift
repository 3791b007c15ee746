// Logits, loss, every gradient and ten optimizer steps against torch + PEFT + bitsandbytes.

import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRAModels

@Suite struct GoldenTrainingTests {
  @Test(arguments: GoldenBase.allCases)
  func logitsAndLossWithoutAdapters(base: GoldenBase) throws {
    let tiny = try TinyLlama(base, adapters: false)
    let logits = tiny.model.logits(tiny.batch).floats()
    let expected = try tiny.floats("logits")
    #expect(logits.count == expected.count)
    let worst = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
    let loss = try tiny.model.lossSum(tiny.batch) / Double(tiny.batch.rows.count)
    #expect(abs(loss - Double(try tiny.floats("loss")[0])) <= 1e-4)
  }

  @Test(arguments: GoldenBase.allCases)
  func everyGradientByName(base: GoldenBase) throws {
    let tiny = try TinyLlama(base)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.rows.count)
    let expectedLoss = Double(try tiny.floats("losses")[0])
    #expect(abs(sum / count - expectedLoss) / expectedLoss <= 1e-5)
    let expected = try tiny.adapter("gradient0")
    #expect(expected.count == tiny.model.parameters.count)
    for parameter in tiny.model.parameters {
      let golden = try #require(expected[parameter.name]).floats()
      let found = parameter.gradient.floats().map { $0 / Float(count) }
      let error = relativeError(found, golden)
      #expect(error <= 2e-5, "\(parameter.name): \(error)")
    }
  }

  @Test(arguments: GoldenBase.allCases)
  func tenStepsOfAdamW(base: GoldenBase) throws {
    let tiny = try TinyLlama(base)
    let losses = try tiny.floats("losses")
    let norms = try tiny.floats("gradient_norms")
    var optimizer = PlainAdamW(tiny.model.parameters)
    for step in 0..<losses.count {
      let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step))
      let loss = sum / Double(tiny.batch.rows.count)
      #expect(abs(loss - Double(losses[step])) / Double(losses[step]) <= 1e-5, "step \(step)")
      let norm = optimizer.update(
        tiny.model.backend, count: tiny.batch.rows.count, step: step + 1)
      #expect(abs(norm - Double(norms[step])) / Double(norms[step]) <= 1e-5, "step \(step)")
    }
    let expected = try tiny.adapter("adapter10")
    for parameter in tiny.model.parameters {
      let golden = try #require(expected[parameter.name]).floats()
      let worst = zip(parameter.value.floats(), golden).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst <= 1e-4, "\(parameter.name): \(worst)")
    }
  }

  @Test(arguments: [1, 4])
  func threadsChangeNoBit(threads: Int) throws {
    let two = try TinyLlama(.nf4dq, threads: 2)
    let other = try TinyLlama(.nf4dq, threads: threads)
    let first = try two.model.accumulateGradients(two.batch, dropoutStream: 0)
    let second = try other.model.accumulateGradients(other.batch, dropoutStream: 0)
    #expect(first == second)
    for (a, b) in zip(two.model.parameters, other.model.parameters) {
      #expect(a.gradient.floats() == b.gradient.floats(), "\(a.name)")
    }
  }

  @Test(arguments: [(DType.bfloat16, 0.01), (.float16, 0.002)])
  func halfPrecisionStaysNearTheFloat32Loss(dtype: DType, tolerance: Double) throws {
    let tiny = try TinyLlama(.nf4dq, computeDType: dtype)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let loss = sum / Double(tiny.batch.rows.count)
    let expected = Double(try tiny.floats("losses")[0])
    #expect(abs(loss - expected) / expected <= tolerance)
  }
}
