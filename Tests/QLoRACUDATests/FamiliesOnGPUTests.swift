// Every family's goldens on the simulated device, within the bounds of the CPU's.
import QLoRACPU
import Testing
import TinyModel

@Suite struct FamiliesOnGPUTests {
  private func tiny(
    _ name: String, _ base: GoldenBase, adapters: Bool
  ) throws -> TinyFamily {
    let backend = try BothBackends.cuda(host: CPUBackend(threads: 1), growthBytes: 4 << 20)
    return try TinyFamily(name, base, on: backend, adapters: adapters)
  }

  @Test(arguments: TinyFamily.names, GoldenBase.allCases)
  func logitsAndLossWithoutAdapters(name: String, base: GoldenBase) throws {
    let tiny = try tiny(name, base, adapters: false)
    let logits = tiny.model.logits(tiny.batch).floats()
    let expected = try tiny.floats("logits")
    #expect(logits.count == expected.count)
    let worst = zip(logits, expected).map { abs($0 - $1) }.max() ?? .infinity
    #expect(worst <= 1e-4, "largest logit difference \(worst)")
    let loss = try tiny.model.lossSum(tiny.batch) / Double(tiny.batch.rows.count)
    #expect(abs(loss - Double(try tiny.floats("loss")[0])) <= 1e-5)
    try tiny.model.backend.checkHealth()
  }

  @Test(arguments: TinyFamily.names, GoldenBase.allCases)
  func everyGradientByName(name: String, base: GoldenBase) throws {
    let tiny = try tiny(name, base, adapters: true)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.rows.count)
    let expectedLoss = Double(try tiny.floats("adapted_loss")[0])
    #expect(abs(sum / count - expectedLoss) / expectedLoss <= 1e-5)
    let linears = tiny.model.linears
    for (linear, index) in zip(linears, stride(from: 0, to: 2 * linears.count, by: 2)) {
      for (half, parameter) in zip(["A", "B"], tiny.model.parameters[index..<index + 2]) {
        let golden = try tiny.floats("gradient.\(linear.name).\(half)")
        let found = parameter.gradient.floats().map { $0 / Float(count) }
        // An expert that no token chose has a gradient of zeros.
        let error = golden.contains { $0 != 0 } ? relativeError(found, golden) : 0
        #expect(error <= 1e-4, "\(linear.name) \(half): \(error)")
      }
    }
    try tiny.model.backend.checkHealth()
  }
}
