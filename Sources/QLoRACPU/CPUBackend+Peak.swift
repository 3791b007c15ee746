// How fast this CPU multiplies and adds, and reads memory, at best: the yardsticks of benchmarks.
import CQLoRAKernels
import QLoRATensor

// SAFETY: each worker reads its own part of a buffer that outlives the loop.
extension CPUBackend {
  /// Multiplies and adds in registers on all threads; returns how many operations that were.
  package func spendPeak() -> Double {
    let kernels = product
    // About 0.1 ms.
    let rounds = 20_000
    threadPool.run(threadPool.threads) { _ in _ = kernels.peak(rounds) }
    return kernels.peak(1) * Double(rounds) * Double(threadPool.threads)
  }

  /// The same of bf16 products; nil where they have no kernels.
  package func spendMatrixPeak() -> Double? {
    guard let kernels = kernels.pointee.matrix?.pointee, !isScalar else { return nil }
    let rounds = 5_000
    threadPool.run(threadPool.threads) { _ in _ = kernels.peak(rounds) }
    return kernels.peak(1) * Double(rounds) * Double(threadPool.threads)
  }

  /// Reads all of `storage` once on all threads, and returns something that depends on it.
  package func read(_ storage: Storage) -> UInt32 {
    let block = 1 << 20
    let base = UnsafeRawPointer(storage.baseAddress)
    let (memory, results) = scratch(floats: 16)
    threadPool.run(storage.byteCount / block) { item, worker in
      typealias Lane = SIMD16<UInt32>
      let values = (base + item * block).assumingMemoryBound(to: Lane.self)
      var (a, b, c, d) = (Lane(), Lane(), Lane(), Lane())
      for index in stride(from: 0, to: block / 64, by: 4) {
        a ^= values[index]
        b ^= values[index + 1]
        c ^= values[index + 2]
        d ^= values[index + 3]
      }
      results(worker).pointee = Float(((a ^ b) ^ (c ^ d)).wrappedSum() & 0xFFFF)
    }
    defer { withExtendedLifetime(memory) {} }
    return UInt32(results(0).pointee)
  }
}
