// A merged model as a Hugging Face folder, written one piece at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRASystem
import QLoRATensor

package struct MergedFolder {
  /// Bytes of tensors in a file, as transformers cuts them; a larger tensor has a file of its own.
  package static let shardBytes = 5_000_000_000

  private let weights: MergedWeights
  private let source: ModelSource
  private let dtype: DType
  private let shardBytes: Int

  init(
    _ weights: MergedWeights, source: ModelSource, dtype: DType, shardBytes: Int
  ) {
    self.weights = weights
    self.source = source
    self.dtype = dtype
    self.shardBytes = shardBytes
  }

  /// Writes the folder in one piece: it appears complete or not at all.
  func write(to output: String) throws {
    // The small files first: what they refuse should not come after gigabytes were written.
    let companions = try MergedCompanions(source, dtype: dtype).files()
    let shards = try shards()
    let bytes = shards.reduce(0) { $0 + $1.byteCount }
    let pending = try AtomicDirectory(
      FilePath.lastComponent(of: output), in: FilePath.parent(of: output), expectedByteCount: bytes)
    do {
      for shard in shards {
        try pending.write(shard.name, byteCount: shard.byteCount) { sink in
          try write(shard) { try sink.write($0) }
        }
      }
      if shards.count > 1 { try pending.write(ShardedSafetensors.indexName, index(shards)) }
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
    var tensors: [SafetensorsWriter.Declaration] = []
    /// Without the header.
    var byteCount = 0
  }

  private func shards() throws -> [Shard] {
    var shards = [Shard()]
    for name in weights.names {
      let tensor = SafetensorsWriter.Declaration(name, dtype, try weights.shape(of: name))
      let bytes = tensor.shape.count * dtype.byteSize
      if shards[shards.count - 1].byteCount + bytes > shardBytes,
        !shards[shards.count - 1].tensors.isEmpty
      {
        shards.append(Shard())
      }
      shards[shards.count - 1].tensors.append(tensor)
      shards[shards.count - 1].byteCount += bytes
    }
    for index in shards.indices {
      shards[index].name =
        shards.count == 1
        ? ShardedSafetensors.singleName
        : "model-\(Self.fiveDigits(index + 1))-of-\(Self.fiveDigits(shards.count)).safetensors"
    }
    return shards
  }

  private static func fiveDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }

  private func index(_ shards: [Shard]) -> [UInt8] {
    let places = shards.flatMap { shard in shard.tensors.map { ($0.name, shard.name) } }
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
    var writer = try SafetensorsWriter(shard.tensors, sink: sink)
    for entry in writer.entries {
      try weights.forEachPiece(of: entry.name) { piece in
        if dtype == .float32 {
          return try piece.withBytes { try writer.write(bytes: $0, of: entry.name) }
        }
        let converted = weights.backend.allocate(piece.shape, dtype)
        weights.backend.convert(piece, into: converted)
        weights.backend.synchronize()
        try converted.withBytes { try writer.write(bytes: $0, of: entry.name) }
      }
    }
    try writer.finish()
  }
}
