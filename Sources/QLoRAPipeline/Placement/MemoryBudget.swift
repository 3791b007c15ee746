// What a process may take of the machine's memory, and what follows from it for the layers.

import QLoRADiagnostics
import QLoRARecipe
import QLoRASystem

package struct MemoryBudget: Sendable {
  /// For the whole process; nil where nothing is known.
  package var bytes: Int?
  /// Whether somebody asked for it; else it is what the machine has.
  package var isAsked: Bool
  /// Whether layers may wait on the disk.
  package var mayUseDisk: Bool

  package init(bytes: Int?, isAsked: Bool, mayUseDisk: Bool) {
    self.bytes = bytes
    self.isAsked = isAsked
    self.mayUseDisk = mayUseDisk
  }

  /// What the forecast does not know of: pages of the program that are touched as it goes on, the
  /// heap's holes, the buffers of checkpoints. Measured: 8 to 10 MiB in steps of SmolLM2-135M
  /// and 14 MiB in one of a 13B shape.
  package static let slackBytes = 32 << 20

  /// - Parameters:
  ///   - maxMemory: what was asked for; nil takes what the machine, or the container, has left.
  ///   - device: as recipes say it; only `auto` lets layers wait on the disk.
  init(maxMemory: Int?, device: String, on machine: MachineMemory) {
    self.init(
      bytes: maxMemory ?? machine.availableBytes.map { $0 + (machine.residentBytes ?? 0) },
      isAsked: maxMemory != nil, mayUseDisk: device == "auto")
  }

  /// As many layers as possible in memory.
  ///
  /// - Parameters:
  ///   - peakBytes: of the process with all layers in memory.
  ///   - readAheadBytes: of the buffers, if there must be any.
  /// - Throws: `memoryBudgetTooSmall` (exit 81) where a budget that was asked for cannot be kept
  ///   with every layer on the disk.
  func place(
    _ layerBytes: [Int], peakBytes: Int, readAheadBytes: Int
  ) throws -> LayerPlacement {
    let everywhere = LayerPlacement(layerBytes: layerBytes)
    let peakBytes = peakBytes + Self.slackBytes
    guard let bytes, peakBytes > bytes else { return everywhere }
    let others = peakBytes - layerBytes.reduce(0, +)
    let least = mayUseDisk ? others + readAheadBytes : peakBytes
    if isAsked, least > bytes { throw tooSmall(bytes, least: least) }
    guard mayUseDisk else { return everywhere }
    let rooms = [
      DeviceRoom(LayerPlacement.memory, bytes: max(0, bytes - least)),
      DeviceRoom(LayerPlacement.disk, bytes: .max),
    ]
    guard let devices = LayerPlacement.fill(layerBytes, rooms) else { return everywhere }
    return LayerPlacement(
      devices: devices, layerBytes: layerBytes, readAheadBytes: readAheadBytes)
  }

  private func tooSmall(_ bytes: Int, least: Int) -> Diagnostic {
    Diagnostic(
      .memoryBudgetTooSmall,
      "maxMemory.cpu allows \(ByteCount.spell(bytes)), and the least that the process needs "
        + (mayUseDisk ? "with every layer on the disk" : "with device \"cpu\"")
        + " is \(ByteCount.atLeast(least))",
      remedy: mayUseDisk
        ? "allow that much, set training.activationMemory to \"full\", or lower training.batchSize"
        : "allow that much, or set device to \"auto\"")
  }
}
