// What the writer lays out, compared byte for byte with files of the reference library.
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct SafetensorsWritingTests {
  @Test(arguments: [
    "safetensors/all-types.safetensors", "safetensors/linear-nf4.safetensors",
    "safetensors/linear-fp4.safetensors", "peft/adapter_model.safetensors",
    "tiny-llama/model.safetensors", "llm_int8.safetensors", "tiny-llama-training.safetensors",
    "bnb4bit.safetensors",
  ])
  func equalsTheReferenceLibrary(_ name: String) throws {
    let file = try SafetensorsFile(path: Goldens.path(name))
    let tensors = try file.entries.reversed().map {
      (name: $0.name, tensor: try file.readTensor($0.name))
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors, metadata: file.metadata) { bytes += $0 }
    #expect(try bytes == readBytes(file.path))
  }

  @Test func tellsItsSizeBeforeTheFirstByte() throws {
    var bytes: [UInt8] = []
    try withoutActuallyEscaping({ bytes += $0 }) { sink in
      var writer = try SafetensorsWriter(
        [.init("empty", .float32, [0]), .init("x", .float32, [2, 2])], metadata: [:], sink: sink)
      let expected = writer.byteCount
      let tensor = Tensor([1, 2, 3, 4], shape: [2, 2])
      // In pieces, past a tensor without bytes.
      try tensor.withBytes { data in
        try writer.write(bytes: UnsafeRawBufferPointer(rebasing: data[..<5]), of: "x")
        try writer.write(bytes: UnsafeRawBufferPointer(rebasing: data[5...]), of: "x")
      }
      try writer.finish()
      #expect(bytes.count == expected)
    }
    let folder = try TemporaryFolder()
    let file = try SafetensorsFile(path: folder.write(bytes, "x"))
    #expect(try file.readTensor("x").floats() == [1, 2, 3, 4])
  }

  @Test func refusesOtherOrderTypeAndSize() throws {
    func attempt(_ body: (inout SafetensorsWriter) throws -> Void) -> DiagnosticCode? {
      diagnostic {
        var writer = try SafetensorsWriter(
          [.init("a", .float32, [2]), .init("b", .float32, [2])], sink: { _ in })
        try body(&writer)
      }?.code
    }
    let pair = Tensor([1, 2], shape: [2])
    #expect(attempt { try $0.write(pair, named: "b") } == .safetensorsWrite)
    #expect(attempt { try $0.write(Tensor([1], shape: [1]), named: "a") } == .safetensorsWrite)
    #expect(
      attempt {
        try $0.write(pair, named: "a")
        try $0.finish()
      } == .safetensorsWrite)
    let twice = diagnostic {
      _ = try SafetensorsWriter(
        [.init("a", .float32, [2]), .init("a", .int8, [2])], sink: { _ in })
    }
    #expect(twice?.code == .safetensorsWrite)
  }
}
