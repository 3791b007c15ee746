// The choice of a device: the one place that makes a concrete backend.

import QLoRACPU
import QLoRASystem

enum Backends {
  /// The CPU, with the process's memory set up for weights.
  ///
  /// - Parameters:
  ///   - threads: 0 = all cores.
  ///   - usesInt16: whether products with 4-bit weights are computed in 16-bit integers.
  /// - Throws: where this CPU has no such products.
  static func make(threads: Int = 0, usesInt16: Bool = false) throws -> CPUBackend {
    ProcessMemory.keepLargeBlocksApart()
    return try CPUBackend(threads: threads, product: usesInt16 ? .int16 : .automatic)
  }

  /// The same, only counting: it asks for memory as the other one does and computes nothing.
  static func makeShapeOnly(threads: Int, usesInt16: Bool) throws -> CPUBackend {
    try CPUBackend(
      threads: threads, product: usesInt16 ? .int16 : .automatic, isShapeOnly: true)
  }
}
