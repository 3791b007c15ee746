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

  /// The same, only counting: it asks for memory as the other one does and computes nothing.
  static func makeShapeOnly(threads: Int) throws -> CPUBackend {
    try CPUBackend(threads: threads, isShapeOnly: true)
  }
}
