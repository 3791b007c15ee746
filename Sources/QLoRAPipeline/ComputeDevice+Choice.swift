// What a user is told of a device that they left open.

import QLoRACUDA
import QLoRARecipe

extension ComputeDevice {
  /// Such as `the run needs 3 GiB of NVIDIA H100, which has 79 GiB free`.
  static func need(_ what: String, _ bytes: Int, _ gpu: CUDADevice, _ free: Int) -> String {
    "\(what) needs \(ByteCount.atLeast(bytes)) of \(gpu.name), which has "
      + "\(ByteCount.spell(free)) free"
  }

  /// What is said of weights that wait in the host's memory.
  static func waiting(_ bytes: Int) -> String {
    "; \(ByteCount.atLeast(bytes)) of weights stay in the host's memory, which is slower"
  }

  /// One line: what `auto` took, why, and how to have it otherwise.
  ///
  /// - Parameters:
  ///   - other: the option that asks for the other device, without its dashes.
  ///   - gpu: what was taken; nil is the processor.
  static func choice(_ other: String, gpu: CUDADevice?, _ reason: String) -> String {
    let taken = gpu.map { "\($0.name) (sm_\($0.level))" } ?? "the processor"
    return "device auto took \(taken): \(reason); --\(other) asks for the other"
  }
}
