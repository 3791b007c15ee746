// Writing GGUF: what is written is read back, laid out as the format says; encoded numbers are the
// reference's bytes.
import Foundation
import QLoRADiagnostics
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct GGUFWritingTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func bytes(
    _ metadata: GGUFWriter.Metadata, _ tensors: [(GGUFWriter.Declaration, [UInt8])]
  ) throws -> [UInt8] {
    var result: [UInt8] = []
    var writer = try GGUFWriter(metadata: metadata, tensors.map(\.0)) { result += $0 }
    let promised = writer.byteCount
    for (declaration, bytes) in tensors {
      // In two pieces.
      let half = bytes.count / 2
      try Array(bytes[..<half]).withUnsafeBytes { try writer.write($0, of: declaration.name) }
      try Array(bytes[half...]).withUnsafeBytes { try writer.write($0, of: declaration.name) }
    }
    try writer.finish()
    #expect(result.count == promised)
    return result
  }

  /// PyPI gguf wrote these files: reading and writing them again gives their metadata.
  @Test(arguments: ["values", "arrays", "llama"])
  func everyTypeOfValueIsWrittenAsItWasRead(_ name: String) throws {
    let golden = try GGUFFile(path: Goldens.path("gguf/small-\(name).gguf"))
    let metadata = golden.keys.compactMap { key in
      golden.metadata[key].map { (key: key, value: $0) }
    }
    let path = try folder.write(try bytes(metadata, []), "again.gguf")
    let again = try GGUFFile(path: path)
    #expect(again.version == 3)
    #expect(again.keys == golden.keys)
    #expect(again.metadata == golden.metadata)
    // Byte for byte, up to where the tensors are described.
    let written = try readBytes(path).dropFirst(24)
    let end = written.lastIndex { $0 != 0 } ?? written.startIndex
    let original = try readBytes(golden.path).dropFirst(24)
    #expect(original.starts(with: written[...end]))
  }

  @Test func tensorsAreAlignedAndReadBack() throws {
    let shapes: [(String, [Int])] = [("a", [3]), ("b", [2, 5]), ("none", [0]), ("c", [1, 2, 3])]
    var first: Float = 0
    let tensors = shapes.map { name, extents -> (GGUFWriter.Declaration, [UInt8]) in
      let count = extents.reduce(1, *)
      let values = (0..<count).map { first + Float($0) }
      first += 100
      return (.init(name, .f32, extents), values.flatMap { littleEndian($0.bitPattern) })
    }
    let all = try bytes([("general.architecture", .string("test"))], tensors)
    #expect(all.count % 32 == 0)
    let file = try GGUFFile(path: try folder.write(all, "aligned.gguf"))
    #expect(file.tensors.map(\.name) == shapes.map(\.0))
    #expect(file.tensors.map(\.extents) == shapes.map(\.1))
    for (tensor, (_, bytes)) in zip(file.tensors, tensors) {
      #expect(tensor.byteRange.lowerBound % 32 == 0)
      #expect(Array(all[tensor.byteRange]) == bytes)
    }
  }

  @Test func mistakesAreRefused() throws {
    func code(
      _ declarations: [GGUFWriter.Declaration], _ metadata: GGUFWriter.Metadata = [],
      _ writes: [(String, Int)] = []
    ) -> DiagnosticCode? {
      diagnostic {
        var writer = try GGUFWriter(metadata: metadata, declarations) { _ in }
        for (name, count) in writes {
          try [UInt8](repeating: 0, count: count).withUnsafeBytes {
            try writer.write($0, of: name)
          }
        }
        try writer.finish()
      }?.code
    }
    let (a, b) = (GGUFWriter.Declaration("a", .f32, [2]), GGUFWriter.Declaration("b", .f16, [2]))
    #expect(code([a, b], [], [("a", 8), ("b", 4)]) == nil)
    #expect(code([a, b], [], [("b", 4), ("a", 8)]) == .ggufWrite)
    #expect(code([a, b], [], [("a", 8)]) == .ggufWrite)
    #expect(code([a], [], [("a", 9)]) == .ggufWrite)
    #expect(code([a], [], [("a", 8), ("a", 1)]) == .ggufWrite)
    #expect(code([a, a]) == .ggufWrite)
    #expect(code([], [("k", .bool(true)), ("k", .bool(true))]) == .ggufWrite)
    #expect(code([.init("q", .q8_0, [32, 31])]) == .ggufWrite)
    #expect(code([.init(String(repeating: "n", count: 64), .f32, [0])]) == .ggufWrite)
  }

  // MARK: Numbers

  @Test(arguments: [GGUFTensorType.f16, .bf16, .q8_0])
  func encodedNumbersAreTheReferencesBytes(_ type: GGUFTensorType) throws {
    let golden = try SafetensorsFile(path: Goldens.path("gguf/encoded.safetensors"))
    let values = try golden.readTensor("values")
    let expected = try golden.readTensor(type.name).withBytes { Array($0) }
    var found: [UInt8] = []
    var encoder = GGUFEncoder(type)
    for row in 0..<values.shape[0] {
      try values.rows(row..<row + 1).withElements(Float.self) {
        try encoder.encode($0) { found += $0 }
      }
    }
    #expect(found == expected)
  }

  @Test func whatATypeCannotHoldIsRefused() throws {
    func refuses(_ type: GGUFTensorType, _ value: Float) -> Bool {
      var values = [Float](repeating: 0, count: 32)
      values[7] = value
      return diagnostic {
        var encoder = GGUFEncoder(type)
        try values.withUnsafeBufferPointer { try encoder.encode($0) { _ in } }
      }?.code == .ggufNumber
    }
    for type in GGUFEncoder.types {
      #expect(refuses(type, .nan) && refuses(type, .infinity) && refuses(type, -.infinity))
      #expect(!refuses(type, 65_504))
    }
    #expect(refuses(.f16, 65_520) && !refuses(.f16, -65_519))
    #expect(refuses(.q8_0, 8_322_000) && !refuses(.q8_0, 8_320_000))
    #expect(refuses(.bf16, .greatestFiniteMagnitude) && !refuses(.bf16, 3.38e38))
    #expect(!refuses(.f32, .greatestFiniteMagnitude))
  }

  // MARK: Names and rows

  @Test func namesGoBothWays() throws {
    let config = try ModelConfig(configPath: Goldens.path("tiny-llama/config.json"))
    for (name, stored) in [
      ("model.embed_tokens.weight", "token_embd.weight"),
      ("model.layers.12.self_attn.q_proj.bias", "blk.12.attn_q.bias"),
      ("model.layers.0.mlp.down_proj.weight", "blk.0.ffn_down.weight"),
      ("lm_head.weight", "output.weight"),
    ] {
      #expect(GGUFNames.gguf(name, config) == stored)
    }
    for name in ["model.layers.x.mlp.up_proj.weight", "lm_head.scale", "model.layers.0.q", "a"] {
      #expect(GGUFNames.gguf(name, config) == nil)
    }
  }

  /// The reader undoes what is done here; its own golden is llama.cpp's converter.
  @Test func permutedRowsAreReadInTheirOldOrder() throws {
    let source = try ModelSource.open(try folder.write(GGUFBuilder.tinyLlama().bytes, "tiny.gguf"))
    let weights = try #require(source.weights as? GGUFWeightSource)
    for (name, stored) in [
      ("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"),
      ("model.layers.0.self_attn.k_proj.weight", "blk.0.attn_k.weight"),
    ] {
      let order = try #require(GGUFHeadRows(name, source.config))
      let plain = try weights.tensor(name).floats()
      var permuted = plain
      permuted.withUnsafeMutableBufferPointer { output in
        plain.withUnsafeBufferPointer { order.permute($0, width: 8, into: output) }
      }
      let file = try readBytes(weights.gguf.path)
      let range = try weights.gguf.tensor(stored).byteRange
      #expect(permuted.flatMap { littleEndian($0.bitPattern) } == Array(file[range]))
      #expect(permuted != plain)
    }
    #expect(GGUFHeadRows("model.layers.0.self_attn.v_proj.weight", source.config) == nil)
  }
}
