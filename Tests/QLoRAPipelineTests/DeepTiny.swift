// The tiny model with more layers, each of them different, and machines that hold so many of them.
import Foundation
import QLoRAFormats
import QLoRAPipeline
import QLoRASystem
import QLoRATensor
import TestSupport

final class DeepTiny {
  /// Enough for the buffers of two to be worth it.
  static let layers = 10

  let tiny: TinyRun

  init() throws {
    tiny = try TinyRun()
    let path = tiny.folder.path("model/model.safetensors")
    let file = try SafetensorsFile(path: path)
    var tensors: [(name: String, tensor: Tensor)] = []
    for entry in file.entries {
      let tensor = try file.readTensor(entry.name)
      guard entry.name.hasPrefix("model.layers.") else {
        tensors.append((entry.name, tensor))
        continue
      }
      let parts = entry.name.split(separator: ".")
      for copy in 0..<Self.layers / 2 {
        let layer = (Int(parts[2]) ?? 0) + 2 * copy
        let name = (["model.layers.\(layer)"] + parts.dropFirst(3).map(String.init))
          .joined(separator: ".")
        let factor = 1 - 0.07 * Float(copy)
        tensors.append((name, Tensor(tensor.floats().map { $0 * factor }, shape: tensor.shape)))
      }
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    try Data(bytes).write(to: URL(filePath: path))
    let config = String(decoding: try tiny.bytes("model/config.json"), as: UTF8.self)
    try tiny.write(
      "model/config.json",
      config.replacing("\"num_hidden_layers\": 2", with: "\"num_hidden_layers\": \(Self.layers)"))
  }

  func plan(_ settings: [String] = [], on machine: MachineMemory) throws -> RunPlan {
    try Pipeline.plan(tiny.recipe("plan", settings), on: machine)
  }

  var largeMachine: MachineMemory { get throws { try machine(bytes: 1 << 40) } }

  /// Has room for no layer.
  var smallMachine: MachineMemory { get throws { try machine(bytes: 1 << 20) } }

  /// Holds just so many layers of a run.
  func machine(holding layers: Int, _ settings: [String] = []) throws -> MachineMemory {
    let least = try plan(settings, on: smallMachine)
    let layer = least.placement.layerBytes[0]
    return try machine(
      bytes: least.memory.peakBytes + MemoryBudget.slackBytes + layers * layer + layer / 2)
  }

  /// A machine whose process has nothing yet.
  func machine(bytes: Int) throws -> MachineMemory {
    let root = "machine-\(bytes)"
    for (name, text) in [
      ("proc/self/status", "VmRSS: 0 kB\n"), ("proc/meminfo", "MemAvailable: \(bytes / 1024) kB\n"),
    ] {
      let url = tiny.folder.url.appending(path: "\(root)/\(name)")
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: url)
    }
    return MachineMemory(root: tiny.folder.path(root))
  }
}
