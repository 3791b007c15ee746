// How fast this CPU multiplies and adds at best: the yardstick of benchmarks.
import CQLoRAKernels

extension CPUBackend {
  /// Floating-point operations per second of all threads together, without memory.
  package func measuredPeak(rounds: Int) -> Double {
    let kernels = product
    let clock = ContinuousClock()
    let threads = threadPool.threads
    var best = 0.0
    let work = 20_000
    let operations = kernels.peak(work) * Double(threads)
    for _ in 0..<rounds {
      let duration = clock.measure {
        threadPool.run(threads) { _ in _ = kernels.peak(work) }
      }.components
      let seconds = Double(duration.seconds) + Double(duration.attoseconds) * 1e-18
      best = max(best, operations / seconds)
    }
    return best
  }
}
