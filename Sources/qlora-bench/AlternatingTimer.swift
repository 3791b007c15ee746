// Times that mean something on a machine that others use too: whatever is compared takes turns.
import QLoRACPU

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What one body took over all rounds.
struct Timing {
  /// Of the fastest round.
  let seconds: Double
  /// Seconds times the peak beside them, per round: the operations that would have fitted.
  let peakOperations: [Double]

  /// The middle of the rounds' shares of the peak.
  func shareOfPeak(_ operations: Double) -> Double { operations / median(peakOperations) }

  /// How many times as long the other took, each round against its own peak.
  func ratio(of other: Timing) -> Double { median(other.peakOperations) / median(peakOperations) }
}

/// The middle of the values; of an even number the upper one.
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func rounded(_ value: Double) -> Double { (value * 1000).rounded() / 1000 }

struct AlternatingTimer {
  let backend: CPUBackend
  let rounds: Int
  /// The process's own time instead of the clock's; waiting for each other then costs nothing.
  let countsProcessorTime: Bool

  private func now() -> Double {
    var time = timespec()
    clock_gettime(countsProcessorTime ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &time)
    let seconds = Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    return countsProcessorTime ? seconds / Double(backend.threadPool.threads) : seconds
  }

  func seconds(_ body: () -> Void) -> Double {
    let start = now()
    body()
    return now() - start
  }

  /// Operations per second of all threads, without memory.
  func peak() -> Double {
    var operations = 0.0
    let seconds = seconds { operations = backend.spendPeak() }
    return operations / seconds
  }

  /// The same of bf16 products; nil where they have no kernels.
  func matrixPeak() -> Double? {
    var operations: Double?
    let seconds = seconds { operations = backend.spendMatrixPeak() }
    return operations.map { $0 / seconds }
  }

  /// The bodies in turn, each with the peak measured before and after it.
  func run(_ bodies: [() -> Void]) -> [Timing] {
    var seconds = [[Double]](repeating: [], count: bodies.count)
    var work = seconds
    for round in 0...rounds {
      for (index, body) in bodies.enumerated() {
        let before = peak()
        let duration = self.seconds(body)
        let after = peak()
        // The first round warms caches and pools.
        if round == 0 { continue }
        seconds[index].append(duration)
        work[index].append(duration * (before + after) / 2)
      }
    }
    return zip(seconds, work).map {
      Timing(seconds: $0.0.min() ?? .infinity, peakOperations: $0.1)
    }
  }
}
