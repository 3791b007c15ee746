// A device that runs out of memory, or is lost: one diagnostic, no crash, and no more calls.
import CUDASimulator
import QLoRACPU
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing
import TinyModel

import QLoRACUDA

@Suite(.serialized) struct DeviceFailureTests {
  @Test func memoryThatIsNotThereIsSaidOnce() throws {
    let both = try BothBackends()
    let tensor = both.cuda.allocate([1 << 40], .float32)
    let other = both.cuda.allocate([8], .float32)
    both.cuda.add(other, other, into: tensor.rows(0..<8))
    let found = #expect(throws: Diagnostic.self) { try both.cuda.checkHealth() }
    #expect(found?.code == .deviceMemoryExhausted && found?.code.exitCode == .wouldNotFit)
    #expect(found?.message.contains("\(4 << 40) bytes asked for") == true)
    // What is read from a failed device are zeros.
    #expect(other.floats() == [Float](repeating: 0, count: 8))
  }

  @Test func aCallThatIsRefusedLosesTheDevice() throws {
    let both = try BothBackends()
    // More columns of a grid than there may be.
    let layout = AttentionLayout(heads: 70_000, kvHeads: 70_000, headSize: 1, scale: 1)
    let row = both.cuda.allocate([1, 70_000], .float32)
    both.cuda.cachedAttention(
      query: row, keys: row, values: row, keyCount: 1, layout: layout, into: row)
    let found = #expect(throws: Diagnostic.self) { try both.cuda.checkHealth() }
    #expect(found?.code == .deviceLost && found?.code.exitCode == .stoppedResumable)
    #expect(found?.message.contains("qlora_attention_piece") == true)
  }

  /// What a start meets on a GPU that others have filled, and with a cuBLAS that does not suit.
  @Test func aStartThatIsRefusedSaysWhy() throws {
    func start(
      _ change: (inout qlora_cuda_driver, inout qlora_cuda_products) -> Void
    ) throws -> Diagnostic {
      var driver = cuda_simulator_driver().pointee
      var products = cuda_simulator_products().pointee
      change(&driver, &products)
      let libraries = CUDALibraries(
        driver: driver, compiler: cuda_simulator_compiler().pointee, products: products)
      return try #require(
        #expect(throws: Diagnostic.self) {
          try CUDABackend(CUDADevice(libraries), host: CPUBackend(threads: 1), growthBytes: 0)
        })
    }
    #expect(try start { driver, _ in driver.context_retain = { _, _ in 2 } }.code
      == .deviceMemoryExhausted)
    #expect(try start { driver, _ in driver.context_retain = { _, _ in 100 } }.code
      == .cudaDeviceMissing)
    #expect(try start { driver, _ in driver.module_load = { _, _ in 2 } }.code
      == .deviceMemoryExhausted)
    let refused = try start { driver, _ in driver.module_load = { _, _ in 209 } }
    #expect(refused.code == .kernelNotCompiled && refused.remedy?.contains("\"cpu\"") == true)
    // No scheduler should try again what will end alike.
    let products = try start { _, products in products.create = { _ in 1 } }
    #expect(products.code == .cudaLibraryMissing && products.code.exitCode == .usage)
    #expect(products.message.contains("cuBLASLt does not start with this driver"))
    #expect(try start { _, products in products.create = { _ in 3 } }.code
      == .deviceMemoryExhausted)
  }

  @Test func memoryOfTheHostIsNamedAsSuch() throws {
    var driver = cuda_simulator_driver().pointee
    driver.allocate_pinned = { _, _, _ in 2 }
    let backend = try BothBackends.cuda(host: CPUBackend(threads: 1), driver: driver)
    _ = backend.outsideZeros([8], .float32)
    let found = #expect(throws: Diagnostic.self) { try backend.checkHealth() }
    #expect(found?.code == .deviceMemoryExhausted)
    #expect(found?.message.contains("the host has no memory left") == true)
    #expect(found?.remedy?.contains("training.batchSize") == false)
  }

  /// Asked beforehand, since a device that has refused memory computes nothing more.
  @Test func whetherKeysAndValuesHaveRoomIsKnown() throws {
    let backend = try BothBackends.cuda(host: CPUBackend(threads: 1), growthBytes: 4 << 20)
    let model = try TinyLlama(.nf4dq, on: backend, computeDType: .float32, dropout: 0).model
    let cache = model.makeCache()
    #expect(model.hasRoom(for: 1_000, cache) && !model.hasRoom(for: 1 << 36, cache))
    let most = try #require(model.cachedTokensWithRoom)
    #expect(model.hasRoom(for: most, cache) && !model.hasRoom(for: 2 * most, cache))
    _ = model.logitsTensor(after: [1, 2, 3], cache)
    #expect(model.hasRoom(for: 61, cache) && !model.hasRoom(for: 1 << 36, cache))
    try backend.checkHealth()
  }

  @Test func compiledKernelsAreKept() throws {
    let folder = try TemporaryFolder()
    let cache = KernelCache(folder.path("kernels"))
    let libraries = CUDALibraries(
      driver: cuda_simulator_driver().pointee, compiler: cuda_simulator_compiler().pointee,
      products: cuda_simulator_products().pointee)
    let cpu = try CPUBackend(threads: 1)
    let files = PosixFileSystem()
    for _ in 0..<2 {
      _ = try CUDABackend(CUDADevice(libraries), host: cpu, cache: cache)
      let names = try files.list(folder.path("kernels"))
      #expect(names.count == KernelSource.all.count)
      #expect(names.allSatisfy { $0.contains("-sm_90-nvrtc12.4-") })
    }
    // A damaged file is made anew.
    let name = try #require(try files.list(folder.path("kernels")).first)
    let path = FilePath.join(folder.path("kernels"), name)
    let whole = try files.readAll(path)
    try AtomicFile.write(path, Array(whole.dropLast()) + [1])
    _ = try CUDABackend(CUDADevice(libraries), host: cpu, cache: cache)
    #expect(try files.readAll(path) == whole)
  }
}
