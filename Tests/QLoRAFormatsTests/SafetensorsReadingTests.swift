// Reading of well-formed safetensors: committed goldens and small files made here.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

struct SafetensorsReadingTests {
  @Test(arguments: [
    ("bnb4bit.safetensors", 928), ("llm_int8.safetensors", 14),
    ("tiny-llama-training.safetensors", 178), ("tiny-llama/model.safetensors", 21),
    ("safetensors/all-types.safetensors", 28), ("gguf/blocks.decoded.safetensors", 11),
  ])
  func opensGolden(_ name: String, _ count: Int) throws {
    let file = try SafetensorsFile(path: Goldens.path(name))
    #expect(file.entries.count == count)
    for entry in file.entries {
      #expect(try file.readTensor(entry.name).shape == entry.shape)
    }
  }

  @Test func readsMetadataAndTypes() throws {
    let file = try SafetensorsFile(path: Goldens.path("safetensors/all-types.safetensors"))
    #expect(file.metadata == ["format": "pt\t\u{1}é"])
    #expect(try file.entry("scalar").shape == [])
    #expect(try file.readTensor("scalar").floats() == [2.5])
    #expect(try file.readTensor("b.11").withElements(Int64.self) { Array($0) } == [0, 1, 2])
    #expect(try file.entry("é\"\\/x").shape == [0, 4])
    #expect(Set(file.entries.map(\.dtype)) == Set(DType.allCases))
  }

  @Test(arguments: [DType.float16, .bfloat16, .float32, .float64])
  func widensEveryRange(_ dtype: DType) throws {
    let folder = try TemporaryFolder()
    // Longer than one piece of a streamed read, so that pieces meet inside.
    let count = InputFile.pieceBytes / dtype.byteSize + 1000
    let values = (0..<count).map { Float($0 % 251) * 0.25 - 31 }
    let data: [UInt8] = values.flatMap { value -> [UInt8] in
      switch dtype {
      case .float16: littleEndian(Float16(value).bitPattern)
      case .bfloat16: littleEndian(value.bfloat16Bits)
      case .float64: littleEndian(Double(value).bitPattern)
      default: littleEndian(value.bitPattern)
      }
    }
    let header =
      "{\"x\":{\"dtype\":\"\(dtype.safetensorsName)\",\"shape\":[\(count)],"
      + "\"data_offsets\":[0,\(data.count)]}}"
    let file = try SafetensorsFile(path: folder.write(safetensors(header, data: data), "x"))
    for range in [0..<count, 1..<2, 7..<count - 3, count..<count] {
      var floats = [Float](repeating: .nan, count: range.count)
      try floats.withUnsafeMutableBufferPointer {
        try file.readFloats("x", range: range, into: $0)
      }
      #expect(floats == Array(values[range]))
    }
  }

  @Test func everyHalfIsTheFloatOfTheStandardLibrary() {
    for bits in UInt16.min...UInt16.max {
      let expected = Float(Float16(bitPattern: bits))
      let found = float(binary16: bits)
      #expect(expected.isNaN ? found.isNaN : expected.bitPattern == found.bitPattern)
    }
  }

  @Test func refusesIntegersAsFloatsAndRangesBeyond() throws {
    let file = try SafetensorsFile(path: Goldens.path("safetensors/all-types.safetensors"))
    var room = [Float](repeating: 0, count: 8)
    room.withUnsafeMutableBufferPointer { room in
      let integers = diagnostic { try file.readFloats("b.11", range: 0..<3, into: room) }
      #expect(integers?.code == .tensorNotFloat)
      let beyond = diagnostic { try file.readFloats("b.9", range: 1..<4, into: room) }
      #expect(beyond?.code == .tensorRange)
      let missing = diagnostic { try file.readFloats("nothing", range: 0..<0, into: room) }
      #expect(missing?.code == .tensorMissing)
    }
  }

  @Test func acceptsUnorderedAndEmptyTensors() throws {
    let folder = try TemporaryFolder()
    let header = """
      {"b":{"dtype":"U8","shape":[3],"data_offsets":[2,5]},\
      "z":{"dtype":"F32","shape":[0,7],"data_offsets":[2,2]},\
      "a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}
      """
    let path = try folder.write(safetensors(header, data: [1, 2, 3, 4, 5]), "x")
    let file = try SafetensorsFile(path: path)
    #expect(file.entries.map(\.name) == ["b", "z", "a"])
    #expect(try file.readTensor("b").withElements(UInt8.self) { Array($0) } == [3, 4, 5])
    let empty = try folder.write(safetensors("{}   "), "empty")
    #expect(try SafetensorsFile(path: empty).entries.isEmpty)
  }
}
