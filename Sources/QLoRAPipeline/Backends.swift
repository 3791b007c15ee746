// The choice of a device: the one place that makes a concrete backend.

import QLoRACPU
import QLoRASystem

enum Backends {
  /// The CPU, with the process's memory set up for weights.
  ///
  /// - Parameter threads: 0 = all cores.
  static func make(threads: Int = 0) throws -> CPUBackend {
    ProcessMemory.keepLargeBlocksApart()
    return try CPUBackend(threads: threads)
  }
}
