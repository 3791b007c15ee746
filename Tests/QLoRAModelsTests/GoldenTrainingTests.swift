// Logits, loss, every gradient and ten optimizer steps against torch + PEFT + bitsandbytes.

import QLoRATensor
import TestSupport
import Testing

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

/// The golden's optimizer: clipping at 1, rate 1e-2, decay 0.01.
struct PlainAdamW {
  let parameters: [Parameter]
  let first: [OptimizerMoment]
  let second: [OptimizerMoment]

  init(_ parameters: [Parameter]) {
    self.parameters = parameters
    first = parameters.map { OptimizerMoment(Tensor(zeros: $0.value.shape)) }
    second = parameters.map { OptimizerMoment(Tensor(zeros: $0.value.shape)) }
  }

  /// One update; the gradients hold sums over `count` tokens and are zero afterwards. Returns the
  /// norm of the mean gradient before clipping.
  mutating func update(_ backend: any Backend, count: Int, step: Int) -> Double {
    for parameter in parameters { backend.scale(parameter.gradient, by: 1 / Float(count)) }
    let squares = parameters.reduce(0) { $0 + backend.sumOfSquares($1.gradient) }
    let norm = squares.squareRoot()
    let clip = min(1, 1 / (norm + 1e-6))
    let update = AdamWStep(
      learningRate: 1e-2, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, step: step)
    for (index, parameter) in parameters.enumerated() {
      backend.scale(parameter.gradient, by: Float(clip))
      backend.adamW(
        parameter: parameter.value, gradient: parameter.gradient, firstMoment: first[index],
        secondMoment: second[index], update)
      parameter.gradient.zero()
    }
    return norm
  }
}
