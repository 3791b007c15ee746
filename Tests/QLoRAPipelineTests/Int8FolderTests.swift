// Folders of 8-bit weights: what is written, what is read again, and what is refused.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct Int8FolderTests {
  let folder: ForeignFolder

  init() throws { folder = try ForeignFolder() }

  private static func options(threshold: Float = 6) -> QuantizationOptions {
    var options = QuantizationOptions()
    options.quantization = .int8(Int8Spec(threshold: threshold))
    return options
  }

  private func weights(_ name: String) throws -> SafetensorsWeightSource {
    try SafetensorsWeightSource(ShardedSafetensors(folder: folder.path(name)))
  }

  /// Rows scaled by 127 over their largest value of fp16, to the nearest, ties to even.
  @Test func rowsAreScaledByTheirLargestValue() throws {
    _ = try folder.quantize("out", Self.options())
    let plain = try ShardedSafetensors(folder: folder.path("model")).readTensor("q.weight").floats()
    let matrix = try #require(try weights("out").int8Matrix("q.weight"))
    let codes = matrix.codes.withBytes { $0.map { Int8(bitPattern: $0) } }
    for row in 0..<17 {
      let values = plain[row * 64..<(row + 1) * 64].map { Float(Float16($0)) }
      let largest = values.map(abs).max() ?? 0
      #expect(matrix.scales[flat: row] == largest)
      #expect(
        Array(codes[row * 64..<(row + 1) * 64])
          == values.map { Int8(($0 * (1 / largest * 127)).rounded(.toNearestOrEven)) })
    }
  }

  @Test func theRestStaysAndTheEntryIsComplete() throws {
    var options = Self.options(threshold: 10)
    options.skip = ["k"]
    _ = try folder.quantize("out", options)
    let files = try ShardedSafetensors(folder: folder.path("out"))
    #expect(
      Set(files.names) == [
        "q.weight", "q.SCB", "q.weight_format", "q.bias", "k.weight", "embed_tokens.weight",
        "norm.weight", "position_ids",
      ])
    #expect(try files.entry("k.weight").dtype == .bfloat16)
    let entry = try folder.json("out", "config.json")["quantization_config"]
    #expect(entry?["load_in_8bit"]?.boolValue == true)
    #expect(entry?["llm_int8_threshold"]?.doubleValue == 10)
    #expect(entry?["llm_int8_skip_modules"]?.arrayValue?.contains(.string("k")) == true)
  }

  @Test func dequantizedIsTheDefinition() throws {
    _ = try folder.quantize("out", Self.options())
    let source = try weights("out")
    for dtype in [DType.float32, .float16] {
      let name = "plain-\(dtype)"
      try Pipeline.dequantize(folder.path("out"), dtype: dtype, to: folder.path(name))
      let plain = try ShardedSafetensors(folder: folder.path(name))
      #expect(Set(plain.names) == Set(source.names))
      for name in ["q.weight", "k.weight"] {
        let expected = try source.tensor(name).floats().map { dtype.rounded($0) }
        #expect(try plain.readTensor(name).floats() == expected)
      }
    }
    #expect(try folder.json("plain-float32", "config.json")["quantization_config"] == nil)
  }

  @Test func inspectCountsAsTheLibraryDoes() throws {
    _ = try folder.quantize("out", Self.options())
    let facts = try Pipeline.inspect(path: folder.path("out"), verify: true).facts
    func fact(_ name: String) -> JSONValue? { facts.first { $0.name == name }?.value }
    // A byte per code; table, norm and bias in bf16; eight positions of eight bytes.
    let codes = 17 * 64 + 9 * 7
    #expect(fact("memoryFootprintBytes")?.intValue == codes + 2 * (10 * 64 + 64 + 17) + 8 * 8)
    let quantized = fact("parts")?["quantized"]
    #expect(quantized?["bytes"]?.intValue == codes + 4 * (17 + 9))
    #expect(fact("warnings") == nil)
  }

  private func refusal(_ code: DiagnosticCode, _ body: () throws -> Void) throws {
    let before = try folder.names()
    let found = try #require(#expect(throws: Diagnostic.self) { try body() })
    #expect(found.code == code && found.code.exitCode == .badData, "\(found)")
    #expect(try folder.names() == before)
  }

  @Test func refusesWhatIsQuantizedAlready() throws {
    _ = try folder.quantize("eight", Self.options())
    try refusal(.alreadyQuantized) {
      _ = try Pipeline.quantize(model: folder.path("eight"), .init(), to: folder.path("out"))
    }
  }

  @Test(arguments: [
    #""load_in_4bit": true"#, #""load_in_8bit": true, "llm_int8_skip_modules": ["q"]"#,
  ])
  func refusesAContradiction(member: String) throws {
    _ = try folder.quantize("eight", Self.options())
    let text = #"{"quantization_config": {"quant_method": "bitsandbytes", \#(member)}}"#
    try Data(text.utf8).write(to: URL(filePath: folder.path("eight/config.json")))
    try refusal(.quantizationContradiction) {
      try Pipeline.dequantize(folder.path("eight"), dtype: .float32, to: folder.path("out"))
    }
  }

  /// fp16 has no such number, and bitsandbytes would make the row infinite.
  @Test func refusesWhatHalfPrecisionCannotScale() throws {
    try folder.write([("q.weight", Tensor([70_000, 1], shape: [1, 2]))], to: "wide")
    try refusal(.weightNotFinite) {
      _ = try Pipeline.quantize(
        model: folder.path("wide"), Self.options(), to: folder.path("out"))
    }
  }
}
