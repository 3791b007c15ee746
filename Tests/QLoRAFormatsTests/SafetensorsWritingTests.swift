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
    try withoutActuallyEscaping({ bytes += $0 }) { append in
      var writer = try SafetensorsWriter(
        [.init("empty", .float32, [0]), .init("x", .float32, [2, 2])], metadata: [:]
      ) { bytes, _ in append(bytes) }
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

  /// A file that takes bytes at their places.
  private final class Places {
    var bytes: [UInt8] = []

    func put(_ piece: UnsafeRawBufferPointer, _ offset: Int) {
      let missing = offset + piece.count - bytes.count
      bytes += Array(repeating: 0xAA, count: max(0, missing))
      bytes.replaceSubrange(offset..<offset + piece.count, with: piece)
    }
  }

  @Test func anyOrderMakesTheSameFile() throws {
    let file = try SafetensorsFile(path: Goldens.path("safetensors/all-types.safetensors"))
    let places = Places()
    var writer = try SafetensorsWriter(
      file.entries.map { .init($0.name, $0.dtype, $0.shape) }, metadata: file.metadata,
      sink: places.put)
    for name in writer.names.reversed() {
      try file.readTensor(name).withBytes { try writer.write(bytes: $0, of: name) }
    }
    try writer.finish()
    #expect(try places.bytes == readBytes(file.path))
  }

  /// Lengths that were only bounded: from nothing to the bound, the file has no holes.
  @Test(arguments: [(0, 0), (1, 100), (7, 93), (100, 100)])
  func boundsBecomeLengths(_ first: Int, _ second: Int) throws {
    let places = Places()
    var writer = try SafetensorsWriter(
      [
        .init("b", atMostBytes: 100), .init("a", atMostBytes: 100), .init("x", .float32, [1]),
        .init("flag", .bool, [1]),
      ], sink: places.put)
    let most = writer.byteCount
    for (name, count) in [("b", second), ("flag", 1), ("a", first)] {
      try [UInt8](repeating: 1, count: count).withUnsafeBytes {
        try writer.write(bytes: $0, of: name)
      }
    }
    try Tensor([2.5], shape: [1]).withBytes { try writer.write(bytes: $0, of: "x") }
    #expect(try writer.finish() == 5 + first + second)
    #expect(places.bytes.count == most - 200 + first + second)
    let folder = try TemporaryFolder()
    let found = try SafetensorsFile(path: folder.write(places.bytes, "x"))
    #expect(found.entries.map(\.name).sorted() == ["a", "b", "flag", "x"])
    #expect(try found.entry("a").shape == [first] && found.entry("b").shape == [second])
    #expect(try found.readTensor("x").floats() == [2.5])
  }

  @Test func refusesOtherNamesAndSizes() throws {
    func attempt(_ body: (inout SafetensorsWriter) throws -> Void) -> DiagnosticCode? {
      diagnostic {
        var writer = try SafetensorsWriter(
          [.init("a", .float32, [2]), .init("s", atMostBytes: 3)], sink: { _, _ in })
        try body(&writer)
        try writer.finish()
      }?.code
    }
    let (pair, short) = (Tensor([1, 2], shape: [2]), Tensor(zeros: [3], .int8))
    func give(_ tensor: Tensor, _ name: String, to writer: inout SafetensorsWriter) throws {
      try tensor.withBytes { try writer.write(bytes: $0, of: name) }
    }
    let good = attempt {
      try give(short, "s", to: &$0)
      try give(pair, "a", to: &$0)
    }
    #expect(good == nil)
    for (tensor, name) in [(pair, "b"), (Tensor([1, 2, 3], shape: [3]), "a"), (pair, "s")] {
      #expect(attempt { try give(tensor, name, to: &$0) } == .safetensorsWrite)
    }
    // One of the two missing, and one given twice.
    #expect(attempt { try give(pair, "a", to: &$0) } == .safetensorsWrite)
    #expect(attempt { try give(short, "s", to: &$0) } == .safetensorsWrite)
    let twice = attempt {
      try give(short, "s", to: &$0)
      try give(Tensor(zeros: [0], .int8), "s", to: &$0)
    }
    #expect(twice == .safetensorsWrite)
    let names = diagnostic {
      _ = try SafetensorsWriter(
        [.init("a", .float32, [2]), .init("a", .int8, [2])], sink: { _, _ in })
    }
    #expect(names?.code == .safetensorsWrite)
  }
}
