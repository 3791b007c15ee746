// What a process may take of the machine's memory, and what follows from it for the layers.

import QLoRADiagnostics
import QLoRARecipe
import QLoRASystem

package struct MemoryBudget: Sendable {
  /// For the whole process; nil where nothing is known.
  package var bytes: Int?
  /// What somebody asked for it by; nil where it is what the machine has.
  package var setting: String?
  /// Whether layers may wait on the disk.
  package var mayUseDisk: Bool

  /// What the forecast does not know of: pages of the program that are touched as it goes on, the
  /// heap's holes, the buffers of checkpoints. Measured: 8 to 10 MiB in steps of SmolLM2-135M
  /// and 19 MiB in one of a 13B shape.
  package static let slackBytes = 32 << 20

  /// - Parameters:
  ///   - maxMemory: what was asked for; nil takes what the machine, or the container, has left.
  ///   - setting: that it was asked for by.
  ///   - device: as recipes say it; only `auto` lets layers wait on the disk.
  init(
    maxMemory: Int?, by setting: String, device: String = "auto", on machine: MachineMemory
  ) {
    bytes = maxMemory ?? machine.availableBytes.map { $0 + (machine.residentBytes ?? 0) }
    self.setting = maxMemory == nil ? nil : setting
    mayUseDisk = device == "auto"
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
    if let setting, least > bytes { throw tooSmall(setting, bytes, least: least) }
    guard mayUseDisk else { return everywhere }
    let rooms = [
      DeviceRoom(LayerPlacement.memory, bytes: max(0, bytes - least)),
      DeviceRoom(LayerPlacement.disk, bytes: .max),
    ]
    guard let devices = LayerPlacement.fill(layerBytes, rooms) else { return everywhere }
    return LayerPlacement(
      devices: devices, layerBytes: layerBytes, readAheadBytes: readAheadBytes)
  }

  private func tooSmall(_ setting: String, _ bytes: Int, least: Int) -> Diagnostic {
    Diagnostic(
      .memoryBudgetTooSmall,
      "\(setting) allows \(ByteCount.spell(bytes)), and the least that the process needs "
        + (mayUseDisk ? "with every layer on the disk" : "with device \"cpu\"")
        + " is \(ByteCount.atLeast(least))",
      remedy: mayUseDisk ? "allow that much" : "allow that much, or set device to \"auto\"")
  }
}
