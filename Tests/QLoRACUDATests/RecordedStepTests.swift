// Steps of generation that were recorded give the bits of steps that were not.
import CUDASimulator
import QLoRACPU
import QLoRAModels
import Testing
import TinyModel

@Suite struct RecordedStepTests {
  /// A cache with a prompt, and the model that fills it.
  private struct Generation {
    let model: DecoderModel
    let cache: KeyValueCache

    init(
      _ name: String, _ driver: qlora_cuda_driver = cuda_simulator_driver().pointee
    ) throws {
      let backend = try BothBackends.cuda(
        host: CPUBackend(threads: 1), growthBytes: 8 << 20, driver: driver)
      model = try TinyFamily(name, .nf4dq, on: backend, adapters: true).model
      cache = model.makeCache()
    }

    func logits(_ tokens: [Int32]) throws -> [UInt32] {
      let logits = model.nextLogits(after: tokens, cache)
      try model.backend.checkHealth()
      return logits.map(\.bitPattern)
    }
  }

  /// What a driver may refuse on the way to a graph.
  enum Refusal: CaseIterable {
    case beginning, launches, memory, preparation, firstLaunch

    var driver: qlora_cuda_driver {
      var driver = cuda_simulator_driver().pointee
      switch self {
      case .beginning: driver.capture_begin = { _, _ in 1 }
      case .launches: driver = cuda_simulator_refusing_driver().pointee
      case .memory:
        // A recording asks for less at once than the backend.
        driver.allocate = { address, bytes in
          bytes <= 4 << 20 ? 2 : cuda_simulator_driver().pointee.allocate(address, bytes)
        }
      case .preparation: driver.graph_prepare = { _, _, _ in 2 }
      case .firstLaunch: driver.graph_launch = { _, _ in 2 }
      }
      return driver
    }
  }

  /// Whose steps wait for the host, which sorts rows by experts, or look up a second number.
  private static func isRecordable(_ model: DecoderModel) -> Bool {
    model.config.form.experts == nil && model.config.names.positions == nil
  }

  @Test(arguments: TinyFamily.names)
  func everyFamilyHasTheSameBits(name: String) throws {
    let recorded = try Generation(name)
    let plain = try Generation(name, Refusal.launches.driver)
    let prompt: [Int32] = [5, 3, 7]
    #expect(try recorded.logits(prompt) == plain.logits(prompt))
    // Among them some that are as large as their position.
    for (step, token) in ([4, 4, 9, 6, 7, 2, 9, 10] as [Int32]).enumerated() {
      let (found, expected) = (try recorded.logits([token]), try plain.logits([token]))
      #expect(found == expected, "step \(step)")
    }
    #expect(!plain.cache.hasRecordedStep)
    #expect(recorded.cache.hasRecordedStep == Self.isRecordable(recorded.model))
  }

  /// The memory of keys and values is another from the 65th token on.
  @Test(arguments: ["llama-linear", "gemma2"])
  func aGrownCacheIsRecordedAgain(name: String) throws {
    let recorded = try Generation(name)
    let plain = try Generation(name, Refusal.launches.driver)
    let prompt = (0..<55).map { Int32($0 % 13) }
    _ = (try recorded.logits(prompt), try plain.logits(prompt))
    var hadRecord: [Bool] = []
    for step in 0..<20 {
      let token = [Int32(step % 11)]
      #expect(try recorded.logits(token) == plain.logits(token), "step \(step)")
      hadRecord.append(recorded.cache.hasRecordedStep)
    }
    #expect(hadRecord[8] && !hadRecord[9] && hadRecord[19])
  }

  @Test func aCacheThatForgetsKeepsItsRecord() throws {
    let recorded = try Generation("llama-linear")
    let tokens: [Int32] = [1, 2, 3, 4, 5, 6, 7, 8]
    _ = try recorded.logits([9, 9])
    let first = try tokens.map { try recorded.logits([$0]) }
    recorded.cache.truncate(to: 2)
    #expect(recorded.cache.hasRecordedStep)
    #expect(try tokens.map { try recorded.logits([$0]) } == first)
  }

  @Test(arguments: Refusal.allCases)
  func aRefusalChangesNothing(refusal: Refusal) throws {
    let recorded = try Generation("qwen2")
    let refused = try Generation("qwen2", refusal.driver)
    for token in [3, 1, 4, 1, 5, 9, 2, 6] as [Int32] {
      #expect(try refused.logits([token]) == recorded.logits([token]))
    }
    #expect(recorded.cache.hasRecordedStep && !refused.cache.hasRecordedStep)
  }
}
