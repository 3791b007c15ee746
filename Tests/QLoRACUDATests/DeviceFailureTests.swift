// A device that runs out of memory, or is lost: one diagnostic, no crash, and no more calls.
import CUDASimulator
import QLoRACPU
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

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
