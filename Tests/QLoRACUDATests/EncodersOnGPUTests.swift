// Models that read without a mask on the simulated device: those that tell classes apart, and those
// that read a text and write another.
import QLoRACPU
import QLoRAModels
import QLoRATensor
import Testing
import TinyModel

@Suite struct EncodersOnGPUTests {
  private func backend() throws -> SimulatedBackend {
    try BothBackends.cuda(host: CPUBackend(threads: 1), growthBytes: 4 << 20)
  }

  /// A mask that is one by mistake shows here.
  @Test(arguments: TinyClassifier.names, GoldenBase.allCases)
  func gradientsOfAClassifier(name: String, base: GoldenBase) throws {
    let tiny = try TinyClassifier(name, base, on: backend())
    let logits = try tiny.model.classLogits(tiny.batch).floats()
    #expect(largestDifference(logits, try tiny.floats("logits")) <= 1e-4)
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.targets.count)
    #expect(abs(sum / count - Double(try tiny.floats("loss")[0])) <= 1e-5)
    for parameter in tiny.model.parameters {
      let golden = try tiny.floats("gradient.\(parameter.name)")
      let error = relativeError(parameter.gradient.floats().map { $0 / Float(count) }, golden)
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
    try tiny.model.backend.checkHealth()
  }

  @Test(arguments: TinyT5.names, GoldenBase.allCases)
  func gradientsOfAReaderAndWriter(name: String, base: GoldenBase) throws {
    let tiny = try TinyT5(name, base, on: backend())
    let sum = try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 0)
    let count = Double(tiny.batch.rows.count)
    #expect(abs(sum / count - Double(try tiny.floats("adapted_loss")[0])) <= 1e-5)
    for parameter in tiny.model.parameters {
      let golden = try tiny.floats("gradient.\(parameter.name)")
      let error = relativeError(parameter.gradient.floats().map { $0 / Float(count) }, golden)
      #expect(error <= 1e-4, "\(parameter.name): \(error)")
    }
    try tiny.model.backend.checkHealth()
  }

  /// Greedy search with a cache writes what transformers writes.
  @Test(arguments: TinyT5.names)
  func greedyAnswers(name: String) throws {
    let tiny = try TinyT5(name, .float32, on: backend(), adapters: false)
    let goldens = try tiny.goldens.readTensor("float32.answers")
    let width = goldens.shape[1]
    let expected = goldens.withElements(Int64.self) { $0.prefix(width).map { Int32($0) } }
    let cache = tiny.model.makeCache()
    var next = tiny.model.open(try TinyT5.rows(tiny.goldens)[0].read, cache)
    var written: [Int32] = []
    while written.count < width, written.last != 1 {
      let token = Sampler.greedy(tiny.model.nextLogits(after: next, cache))
      written.append(token)
      next = [token]
    }
    #expect(written == Array(expected.prefix { $0 >= 0 }))
  }
}
