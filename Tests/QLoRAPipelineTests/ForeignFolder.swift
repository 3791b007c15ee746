// A model folder of no architecture that this program knows: two linears, one of odd width, a
// table, a norm, a bias and integers.
import Foundation
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport

struct ForeignFolder {
  private let folder: TemporaryFolder

  func path(_ name: String) -> String { folder.path(name) }

  init() throws {
    folder = try TemporaryFolder()
    var random = SeededGenerator(seed: 7)
    func tensor(_ shape: Shape) -> Tensor {
      let bits = random.normals(shape.count).flatMap { value -> [UInt8] in
        [UInt8(value.bfloat16Bits & 255), UInt8(value.bfloat16Bits >> 8)]
      }
      return Tensor(bytes: bits, shape: shape, dtype: .bfloat16)
    }
    try write(
      [
        ("q.weight", tensor([17, 64])), ("q.bias", tensor([17])), ("k.weight", tensor([9, 7])),
        ("embed_tokens.weight", tensor([10, 64])), ("norm.weight", tensor([64])),
        ("position_ids", Tensor(zeros: [8], .int64)),
      ], to: "model")
    try Data("pieces".utf8).write(to: folder.url.appending(path: "model/spiece.model"))
  }

  func write(
    _ tensors: [(name: String, tensor: Tensor)], type: String = "foreign", to name: String
  ) throws {
    let url = folder.url.appending(path: name)
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    try Data(bytes).write(to: url.appending(path: ShardedSafetensors.singleName))
    try Data(#"{"model_type": "\#(type)"}"#.utf8).write(to: url.appending(path: "config.json"))
  }

  func quantize(_ output: String, _ options: QuantizationOptions = .init()) throws -> [String] {
    try Pipeline.quantize(model: path("model"), options, to: path(output))
  }

  func json(_ name: String, _ file: String) throws -> JSONValue {
    try JSONValue(parsing: Array(Data(contentsOf: folder.url.appending(path: "\(name)/\(file)"))))
  }

  /// What lies beside the model.
  func names() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.url.path()).sorted()
  }
}
