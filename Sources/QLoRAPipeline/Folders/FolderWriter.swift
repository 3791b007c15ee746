// A model folder in the making: weight files with their index, and the small files beside them. It
// appears complete or not at all.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRASystem
import QLoRATensor

package struct FolderWriter {
  /// Bytes of tensors in a file, as transformers cuts them; a larger group has a file of its own.
  package static let shardBytes = 5_000_000_000

  /// What weight files are called, before `.safetensors` and before a shard's number.
  var stem = ShardedSafetensors.stems[0]
  var shardBytes = FolderWriter.shardBytes
  /// Small files, by name.
  let companions: [(name: String, contents: [UInt8])]

  /// - Parameter groups: tensors, those together that must not be in different files.
  func write(_ groups: [[FolderTensor]], to output: String) throws {
    let shards = shards(groups)
    let pending = try AtomicDirectory(
      FilePath.lastComponent(of: output), in: FilePath.parent(of: output),
      expectedByteCount: shards.reduce(0) { $0 + $1.byteCount })
    do {
      for shard in shards {
        try pending.write(shard.name, byteCount: shard.byteCount) { sink in
          try write(shard) { try sink.write($0) }
        }
      }
      if shards.count > 1 {
        try pending.write(stem + ".safetensors.index.json", index(shards))
      }
      for (name, contents) in companions { try pending.write(name, contents) }
      _ = try pending.commit()
    } catch {
      pending.discard()
      throw error
    }
  }

  /// One weight file.
  private struct Shard {
    var name = ""
    var tensors: [FolderTensor] = []
    /// Without the header.
    var byteCount = 0
  }

  private func shards(_ groups: [[FolderTensor]]) -> [Shard] {
    var shards = [Shard()]
    for group in groups {
      let bytes = group.reduce(0) { $0 + $1.byteCount }
      if shards[shards.count - 1].byteCount + bytes > shardBytes,
        !shards[shards.count - 1].tensors.isEmpty
      {
        shards.append(Shard())
      }
      shards[shards.count - 1].tensors += group
      shards[shards.count - 1].byteCount += bytes
    }
    for index in shards.indices {
      let (number, count) = (Self.fiveDigits(index + 1), Self.fiveDigits(shards.count))
      shards[index].name =
        shards.count == 1
        ? "\(stem).safetensors" : "\(stem)-\(number)-of-\(count).safetensors"
    }
    return shards
  }

  private static func fiveDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  private func index(_ shards: [Shard]) -> [UInt8] {
    let places = shards.flatMap { shard in
      shard.tensors.map { ($0.declaration.name, shard.name) }
    }
    let total = shards.reduce(0) { $0 + $1.byteCount }
    let json = JSONValue.dictionary([
      ("metadata", .dictionary([("total_size", .int(total))])),
      (
        "weight_map",
        .dictionary(places.sorted { $0.0 < $1.0 }.map { ($0.0, .string($0.1)) })
      ),
    ])
    return Array((JSONWriter.text(json, style: .indented) + "\n").utf8)
  }

  private func write(_ shard: Shard, _ sink: @escaping SafetensorsWriter.Sink) throws {
    var writer = try SafetensorsWriter(shard.tensors.map(\.declaration), sink: sink)
    let byName = Dictionary(shard.tensors.map { ($0.declaration.name, $0) }) { $1 }
    for entry in writer.entries {
      try byName[entry.name]?.stream { try writer.write(bytes: $0, of: entry.name) }
    }
    try writer.finish()
  }
}
