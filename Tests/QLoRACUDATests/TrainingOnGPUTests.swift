// The goldens' ten steps on the simulated device, beside PyTorch's and the CPU's.
import CUDASimulator
import QLoRACPU
import QLoRATensor
import Testing
import TinyModel

@Suite struct TrainingOnGPUTests {
  private func tiny(
    _ base: GoldenBase, computeDType: DType = .float32, dropout: Double = 0
  ) throws -> TinyLlama {
    let backend = try BothBackends.cuda(host: CPUBackend(threads: 1), growthBytes: 4 << 20)
    return try TinyLlama(base, on: backend, computeDType: computeDType, dropout: dropout)
  }

  @Test(arguments: GoldenBase.allCases)
  func tenStepsOfAdamW(base: GoldenBase) throws {
    let tiny = try tiny(base)
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
    try tiny.model.backend.checkHealth()
    let expected = try tiny.adapter("adapter10")
    // Where a gradient is little but rounding, AdamW moves an element by the rate all the same: a
    // hundredth of what ten steps at 1e-2 can move one.
    for parameter in tiny.model.parameters {
      let golden = try #require(expected[parameter.name]).floats()
      let worst = zip(parameter.value.floats(), golden).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst <= 1e-3, "\(parameter.name): \(worst)")
    }
  }

  @Test(arguments: GoldenBase.allCases)
  func everyGradientByName(base: GoldenBase) throws {
    let tiny = try tiny(base)
    _ = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let expected = try tiny.adapter("gradient0")
    for parameter in tiny.model.parameters {
      let golden = try #require(expected[parameter.name]).floats()
      let found = parameter.gradient.floats().map { $0 / Float(tiny.batch.rows.count) }
      let error = relativeError(found, golden)
      #expect(error <= 2e-5, "\(parameter.name): \(error)")
    }
  }

  /// Both round bf16 at other places, each within its share of a percent.
  @Test func bfloat16StaysNearTheFloat32Loss() throws {
    let tiny = try tiny(.nf4dq, computeDType: .bfloat16)
    let losses = try tiny.floats("losses")
    var optimizer = PlainAdamW(tiny.model.parameters)
    for step in 0..<losses.count {
      let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: UInt64(step))
      let loss = sum / Double(tiny.batch.rows.count)
      #expect(abs(loss - Double(losses[step])) / Double(losses[step]) <= 0.01, "step \(step)")
      _ = optimizer.update(tiny.model.backend, count: tiny.batch.rows.count, step: step + 1)
    }
  }

  @Test func theSameRunTwiceGivesTheSameBits() throws {
    let runs = try [0, 5].map { order -> [[Float]] in
      cuda_simulator_set_order(UInt32(order))
      defer { cuda_simulator_set_order(0) }
      let tiny = try tiny(.nf4dq, computeDType: .bfloat16, dropout: 0.1)
      let loss = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 3)
      return [[Float(loss)]] + tiny.model.parameters.map { $0.gradient.floats() }
    }
    #expect(runs[0] == runs[1])
  }

  /// Dropout's masks are the CPU's, so its losses are.
  @Test func dropoutIsThatOfTheCPU() throws {
    let device = try tiny(.nf4dq, dropout: 0.2)
    let cpu = try TinyLlama(.nf4dq, dropout: 0.2)
    let found = try device.model.accumulateGradients(device.batch, dropoutStream: 7)
    let expected = try cpu.model.accumulateGradients(cpu.batch, dropoutStream: 7)
    #expect(abs(found - expected) / expected <= 1e-5)
    for (a, b) in zip(device.model.parameters, cpu.model.parameters) {
      let error = relativeError(a.gradient.floats(), b.gradient.floats())
      #expect(error <= 2e-5, "\(a.name): \(error)")
    }
  }

  @Test func aStepAfterTheFirstTakesNoMemory() throws {
    let tiny = try tiny(.nf4dq)
    var optimizer = PlainAdamW(tiny.model.parameters)
    func step(_ number: Int) throws {
      _ = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
      _ = optimizer.update(tiny.model.backend, count: tiny.batch.rows.count, step: number)
    }
    let backend = try #require(tiny.model.backend as? SimulatedBackend)
    // The second has the optimizer's states beside what the first began with.
    for number in 1...2 { try step(number) }
    let before = backend.statistics
    for number in 3...5 { try step(number) }
    #expect(backend.statistics.growthCount == before.growthCount)
    #expect(backend.statistics.liveBytes == before.liveBytes)
    #expect(backend.statistics.peakBytes == before.peakBytes)
  }

  /// What a plan sees is what each step takes, the first and those that find what it has left.
  @Test func aHollowDeviceIsAskedForTheSameMemory() throws {
    let host = try CPUBackend(threads: 1)
    let real = try BothBackends.cuda(host: host, growthBytes: 256 << 20)
    let hollow = try SimulatedBackend(
      shapeOf: real.device, host: CPUBackend(threads: 1, isShapeOnly: true))
    var extents: [Int] = []
    for backend in [hollow, real, real] {
      let tiny = try TinyLlama(.nf4dq, on: backend, computeDType: .bfloat16)
      let before = backend.statistics.liveBytes
      backend.restartPool()
      _ = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
      try backend.checkHealth()
      extents.append(backend.statistics.extentBytes)
      #expect(backend.statistics.liveBytes == before, "what stays is in nobody's way")
    }
    #expect(Set(extents).count == 1 && extents[0] > 0, "\(extents)")
  }

  @Test func aPlannedPoolIsTakenOnce() throws {
    let host = try CPUBackend(threads: 1)
    let planned = try BothBackends.cuda(host: host, poolBytes: 80 << 20, growthBytes: 1 << 20)
    let first = planned.allocate([40 << 20], .uint8)
    #expect(planned.statistics.takenBytes == 80 << 20)
    // Beyond the plan: as much as is needed, not the plan again.
    let second = planned.allocate([40 << 20], .uint8)
    #expect(planned.statistics.takenBytes == 120 << 20)
    #expect(first.count == second.count)
  }
}
