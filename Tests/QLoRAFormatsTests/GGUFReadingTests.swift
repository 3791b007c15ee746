// Reading of GGUF: values against what the reference library decoded, and a real model where it is.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct GGUFReadingTests {
  let file: GGUFFile
  let decoded: SafetensorsFile

  init() throws {
    file = try GGUFFile(path: Goldens.path("gguf/blocks.gguf"))
    decoded = try SafetensorsFile(path: Goldens.path("gguf/blocks.decoded.safetensors"))
  }

  @Test func readsMetadata() {
    #expect(file.version == 3)
    #expect(file.metadata["general.architecture"]?.string == "llama")
    #expect(file.metadata["test.uint32"] == .integer(7, .uint32))
    #expect(file.metadata["test.string"]?.string == "grüße")
    #expect(file.metadata["test.strings"]?.strings == ["a", "", "ß"])
    #expect(file.metadata["test.floats"] == .array(.floats([0.5, -2])))
    #expect(file.metadata["test.bool"] == .bool(true))
    #expect(file.tensors.count == GGUFTensorType.allCases.count)
  }

  @Test(arguments: GGUFTensorType.allCases)
  func decodesEveryBitAsTheReference(_ type: GGUFTensorType) throws {
    let expected = try decoded.readTensor(type.name).floats()
    let tensor = try file.tensor(type.name)
    #expect(tensor.type == type)
    #expect(tensor.extents == [3, 512])
    // Whole, and from and to the inside of blocks.
    for range in [0..<1536, 0..<1, 31..<33, 100..<1400, 255..<257, 256..<512, 1535..<1536, 5..<5] {
      var floats = [Float](repeating: .nan, count: range.count)
      try floats.withUnsafeMutableBufferPointer {
        try file.readFloats(type.name, range: range, into: $0)
      }
      #expect(floats.map(\.bitPattern) == expected[range].map(\.bitPattern), "\(range)")
    }
  }

  @Test func decodesAcrossPieces() throws {
    let folder = try TemporaryFolder()
    let blocks = InputFile.pieceBytes / 34 + 7
    var builder = GGUFBuilder(tensors: 1)
    builder.tensor("x", [UInt64(blocks * 32)], type: 8)
    builder.pad()
    for block in 0..<blocks {
      builder.integer(Float16(0.5).bitPattern)
      builder.bytes += (0..<32).map { UInt8(truncatingIfNeeded: block + $0) }
    }
    let file = try GGUFFile(path: folder.write(builder.bytes, "x.gguf"))
    let range = 13..<(blocks * 32 - 5)
    var floats = [Float](repeating: .nan, count: range.count)
    try floats.withUnsafeMutableBufferPointer { try file.readFloats("x", range: range, into: $0) }
    let expected = range.map { index in
      Float(Int8(bitPattern: UInt8(truncatingIfNeeded: index / 32 + index % 32))) * 0.5
    }
    #expect(floats == expected)
  }

  @Test func readsVersionTwoAndEveryValueType() throws {
    let folder = try TemporaryFolder()
    var builder = GGUFBuilder(version: 2, pairs: 13)
    builder.pair("u8", .uint8, [200])
    builder.pair("i8", .int8, [200])
    builder.pair("u16", .uint16, littleEndian(UInt16(60_000)))
    builder.pair("i16", .int16, littleEndian(Int16(-2)))
    builder.pair("u32", UInt32.max)
    builder.pair("i32", .int32, littleEndian(Int32.min))
    builder.pair("f32", Float(1.5))
    builder.pair("u64", .uint64, littleEndian(UInt64.max))
    builder.pair("i64", .int64, littleEndian(Int64.min))
    builder.pair("f64", .float64, littleEndian(Double(0.1).bitPattern))
    builder.pair("no", .bool, [0])
    builder.array("bytes", GGUFValueType.uint8.rawValue, count: 3, [1, 2, 3])
    builder.array("i16s", GGUFValueType.int16.rawValue, count: 1, littleEndian(Int16(-9)))
    let values = try GGUFFile(path: folder.write(builder.bytes, "x.gguf")).metadata
    #expect(values["u8"]?.int == 200)
    #expect(values["i8"]?.int == -56)
    #expect(values["u16"]?.int == 60_000)
    #expect(values["i16"]?.int == -2)
    #expect(values["u32"]?.int == 4_294_967_295)
    #expect(values["i32"]?.int == -2_147_483_648)
    #expect(values["f32"]?.double == 1.5)
    #expect(values["u64"] == .uint64(.max))
    #expect(values["u64"]?.int == nil)
    #expect(values["i64"]?.int == .min)
    #expect(values["f64"]?.double == 0.1)
    #expect(values["no"]?.bool == false)
    #expect(values["bytes"]?.array == .bytes([1, 2, 3]))
    #expect(values["i16s"]?.array == .integers([-9], .int16))
  }
}

/// The base model of the quickstart, where `Models/` holds it.
struct SmolLM2Tests {
  static let path = Goldens.repository
    .appending(path: "Models/SmolLM2-135M-Instruct.Q4_1.gguf").path(percentEncoded: false)
  static var isPresent: Bool { FileManager.default.fileExists(atPath: path) }

  @Test(
    .enabled(
      if: isPresent,
      "Models/SmolLM2-135M-Instruct.Q4_1.gguf is absent; Scripts/fetch-smollm2.sh fetches it"))
  func opens() throws {
    let model = try ModelSource.open(Self.path)
    #expect(model.config.hidden == 576)
    #expect(model.config.layers == 30)
    #expect(model.config.heads == 9)
    #expect(model.config.kvHeads == 3)
    #expect(model.config.headDim == 64)
    #expect(model.config.intermediate == 1536)
    #expect(model.config.vocabularySize == 49152)
    #expect(model.config.tiesEmbeddings)
    #expect(model.config.rope == RopeParameters(theta: 100_000))
    #expect(model.config.eosTokens == [2])
    #expect(model.weights.names.count == 272)
    #expect(try model.weights.shape(of: "model.layers.29.mlp.down_proj.weight") == [576, 1536])
    guard case .gguf(let file) = model.origin else {
      Issue.record("expected a GGUF origin")
      return
    }
    #expect(file.metadata["tokenizer.ggml.tokens"]?.strings?.count == 49152)
    #expect(model.digestInputs.map(\.byteCount) == [file.file.byteCount])
  }
}
