// Folders of shards: what agrees opens, what does not is named.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct ShardedSafetensorsTests {
  let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    for (shard, names) in [("s-1.safetensors", ["a", "b"]), ("s-2.safetensors", ["c"])] {
      var bytes: [UInt8] = []
      let tensors = names.map { (name: $0, tensor: Tensor([Float($0.utf8.count)], shape: [1])) }
      try SafetensorsWriter.write(tensors) { bytes += $0 }
      _ = try folder.write(bytes, shard)
    }
  }

  private func open(_ map: String) throws -> ShardedSafetensors {
    _ = try folder.write("{\"weight_map\":\(map)}", ShardedSafetensors.indexName)
    return try ShardedSafetensors(folder: folder.path(""))
  }

  @Test func opensAllShards() throws {
    let files = try open(
      #"{"a":"s-1.safetensors","b":"s-1.safetensors","c":"s-2.safetensors"}"#)
    #expect(files.names == ["a", "b", "c"])
    #expect(try files.readTensor("c").floats() == [1])
    #expect(diagnostic { _ = try files.readTensor("d") }?.code == .tensorMissing)
  }

  @Test(arguments: [
    (#"{"a":"s-1.safetensors","c":"s-2.safetensors"}"#, DiagnosticCode.shardMismatch, "\"b\""),
    (
      #"{"a":"s-1.safetensors","b":"s-1.safetensors","c":"s-1.safetensors"}"#, .shardMismatch,
      "\"c\""
    ),
    (
      #"{"a":"s-1.safetensors","b":"s-1.safetensors","c":"s-2.safetensors","d":"s-2.safetensors"}"#,
      .shardMismatch, "\"d\""
    ),
    (#"{"a":"s-9.safetensors"}"#, .fileMissing, "no such file"),
    (#"{"a":"../s-1.safetensors"}"#, .shardIndex, "\"a\""),
    (#"{"a":"/etc/x.safetensors"}"#, .shardIndex, "\"a\""),
    (#"{"a":".safetensors"}"#, .shardIndex, "\"a\""),
    (#"{"a":"s-1.bin"}"#, .shardIndex, "\"a\""),
    (#"{"a":"s\\1.safetensors"}"#, .shardIndex, "\"a\""),
    (#"{"a":1}"#, .shardIndex, "\"a\""),
    (#"{}"#, .shardIndex, "weight_map"),
    (#"[]"#, .shardIndex, "weight_map"),
  ])
  func namesTheFault(_ map: String, _ code: DiagnosticCode, _ text: String) throws {
    let found = diagnostic { _ = try open(map) }
    #expect(found?.code == code)
    #expect(found?.message.contains(text) == true)
  }

  @Test func namesBothFilesLookedFor() throws {
    let empty = try TemporaryFolder()
    let found = diagnostic { _ = try ShardedSafetensors(folder: empty.path("")) }
    #expect(found?.code == .fileMissing)
    #expect(found?.message.contains("model.safetensors.index.json") == true)
  }
}
