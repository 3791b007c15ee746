// A model folder in the making: weight files with their index, and the small files beside them. It
// appears complete or not at all.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

package struct FolderWriter {
  /// Bytes of tensors in a file, as transformers cuts them; a larger group has a file of its own.
  package static let shardBytes = 5_000_000_000

  /// What weight files are called, before `.safetensors` and before a shard's number.
  var stem = ShardedSafetensors.stems[0]
  var shardBytes = FolderWriter.shardBytes
  /// The model that tensors are of, for messages.
  let origin: String
  /// Small files, by name.
  let companions: [(name: String, contents: [UInt8])]

  /// Writes every tensor once, and removes what a killed start left of the same output.
  ///
  /// - Throws: `nonFiniteWeight` for a NaN or an infinity, which leaves nothing behind.
  func write(_ tensors: [FolderTensors], to output: String) throws {
    var shards = shards(tensors)
    let (name, parent) = (FilePath.lastComponent(of: output), FilePath.parent(of: output))
    PosixFileSystem().sweep(parent, of: name)
    let pending = try AtomicDirectory(
      name, in: parent, expectedByteCount: shards.reduce(0) { $0 + $1.byteCount })
    do {
      for index in shards.indices {
        let bound = shards[index].byteCount
        try pending.write(shards[index].name, byteCount: bound) { sink in
          shards[index].byteCount = try write(shards[index]) { try sink.write($0, at: $1) }
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
    var tensors: [FolderTensors] = []
    /// Of its tensors; before they are written, the most that they can be.
    var byteCount = 0
  }

  private func shards(_ tensors: [FolderTensors]) -> [Shard] {
    var shards = [Shard()]
    for group in tensors {
      if shards[shards.count - 1].byteCount + group.byteCount > shardBytes,
        !shards[shards.count - 1].tensors.isEmpty
      {
        shards.append(Shard())
      }
      shards[shards.count - 1].tensors.append(group)
      shards[shards.count - 1].byteCount += group.byteCount
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
      shard.tensors.flatMap(\.declarations).map { ($0.name, shard.name) }
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

  /// - Returns: bytes of the tensors.
  private func write(_ shard: Shard, _ sink: @escaping SafetensorsWriter.Sink) throws -> Int {
    var writer = try SafetensorsWriter(shard.tensors.flatMap(\.declarations), sink: sink)
    // In file order, as far as tensors come alone: then the file is digested on its way.
    let places = Dictionary(uniqueKeysWithValues: writer.names.enumerated().map { ($1, $0) })
    func place(_ tensors: FolderTensors) -> Int {
      tensors.declarations.first.flatMap { places[$0.name] } ?? 0
    }
    for tensors in shard.tensors.sorted(by: { place($0) < place($1) }) {
      let types = Dictionary(tensors.declarations.map { ($0.name, $0.dtype) }) { $1 }
      var done: [String: Int] = [:]
      try tensors.make { name, bytes in
        if let dtype = types[name], dtype.isFloatingPoint {
          let before = done[name, default: 0]
          if let index = dtype.firstNonFinite(in: bytes) {
            throw nonFinite(name, before / dtype.byteSize + index, dtype)
          }
          done[name] = before + bytes.count
        }
        try writer.write(bytes: bytes, of: name)
      }
    }
    return try writer.finish()
  }

  private func nonFinite(_ name: String, _ index: Int, _ dtype: DType) -> Diagnostic {
    Diagnostic(
      .nonFiniteWeight, "element \(index) is a NaN or an infinity as \(dtype.rawValue)",
      at: .tensor(file: origin, name: name),
      remedy: dtype == .float16
        ? "get the model again from its source; numbers beyond 65,504 need another --dtype"
        : "get the model again from its source")
  }
}
