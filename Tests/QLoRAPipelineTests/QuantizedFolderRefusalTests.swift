// What cannot be quantized or decoded is refused by the tensor's name, before anything is written.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct QuantizedFolderRefusalTests {
  let folder: ForeignFolder

  init() throws { folder = try ForeignFolder() }

  private func refusal(
    _ code: DiagnosticCode, _ exit: ExitCode = .badData, names tensor: String? = nil,
    _ body: () throws -> Void
  ) throws {
    let before = try folder.names()
    let found = try #require(#expect(throws: Diagnostic.self) { try body() })
    #expect(found.code == code && found.code.exitCode == exit, "\(found)")
    if let tensor { #expect("\(found)".contains(tensor), "\(found)") }
    #expect(try folder.names() == before)
  }

  @Test func outputsThatExist() throws {
    try refusal(.outputFolderExists, .outputExists) { _ = try folder.quantize("model") }
    try refusal(.outputFolderExists, .outputExists) {
      try Pipeline.dequantize(folder.path("model"), dtype: .float32, to: folder.path("model"))
    }
  }

  @Test func missingModels() throws {
    try refusal(.modelMissing, .inputMissing) {
      _ = try Pipeline.quantize(model: folder.path("no"), .init(), to: folder.path("out"))
    }
  }

  @Test func whatIsQuantizedAlready() throws {
    _ = try folder.quantize("four")
    try refusal(.alreadyQuantized, names: ".weight") {
      _ = try Pipeline.quantize(model: folder.path("four"), .init(), to: folder.path("out"))
    }
    try folder.write([("q.weight", Tensor(zeros: [4, 4], .int8))], to: "eight")
    try refusal(.int8Tensor, names: "q.weight") {
      _ = try Pipeline.quantize(model: folder.path("eight"), .init(), to: folder.path("out"))
    }
    try folder.write([("q.weight", Tensor(zeros: [4, 4], .int32))], to: "integers")
    try refusal(.alreadyQuantized, names: "q.weight") {
      _ = try Pipeline.quantize(model: folder.path("integers"), .init(), to: folder.path("out"))
    }
  }

  @Test func weightsThatAreNotFinite() throws {
    try folder.write(
      [("q.weight", Tensor([1, .nan], shape: [1, 2])), ("norm.weight", Tensor(zeros: [2]))],
      to: "bad")
    try refusal(.weightNotFinite, names: "q.weight") {
      _ = try Pipeline.quantize(model: folder.path("bad"), .init(), to: folder.path("out"))
    }
  }

  /// What is copied or converted is looked at, too, up to its last element.
  @Test(arguments: [DType.float32, .bfloat16, .float16, .float64])
  func copiedTensorsThatAreNotFinite(dtype: DType) throws {
    let infinities: [DType: UInt64] = [
      .float32: 0x7F80_0000, .bfloat16: 0x7F80, .float16: 0x7C00, .float64: 0x7FF0 << 48,
    ]
    let (infinity, count, size) = (infinities[dtype] ?? 0, 150_001, dtype.byteSize)
    for (index, name) in [(count - 1, "norm.weight"), (7, "embed_tokens.weight")] {
      var bytes = [UInt8](repeating: 0, count: count * size)
      for byte in 0..<size {
        bytes[index * size + byte] = UInt8(truncatingIfNeeded: infinity >> UInt64(8 * byte))
      }
      try folder.write(
        [
          ("q.weight", Tensor([1, 2], shape: [1, 2])),
          (name, Tensor(bytes: bytes, shape: [count], dtype: dtype)),
        ], to: "bad")
      for output in [nil, DType.float32] {
        var options = QuantizationOptions()
        options.dtype = output
        for body in [
          { _ = try Pipeline.quantize(model: folder.path("bad"), options, to: folder.path("out")) },
          {
            try Pipeline.dequantize(
              folder.path("bad"), dtype: output ?? .bfloat16, to: folder.path("out"))
          },
        ] {
          try refusal(.nonFiniteWeight, names: name, body)
          let found = #expect(throws: Diagnostic.self) { try body() }
          #expect(found?.message.hasPrefix("element \(index) is ") == true, "\(dtype)")
        }
      }
    }
  }

  @Test func numbersBeyondTheTypeThatIsWritten() throws {
    try folder.write(
      [("q.weight", Tensor([1, 2], shape: [1, 2])), ("norm.weight", Tensor([1, 1e6], shape: [2]))],
      to: "wide")
    var options = QuantizationOptions()
    options.dtype = .float16
    try refusal(.nonFiniteWeight, names: "norm.weight") {
      _ = try Pipeline.quantize(model: folder.path("wide"), options, to: folder.path("out"))
    }
    options.dtype = .bfloat16
    _ = try Pipeline.quantize(model: folder.path("wide"), options, to: folder.path("out"))
  }

  @Test func nothingLeftToQuantize() throws {
    var options = QuantizationOptions()
    options.skip = [".*"]
    try refusal(.nothingToQuantize) { _ = try folder.quantize("out", options) }
    options.skip = ["("]
    try refusal(.badModulePattern, .usage) { _ = try folder.quantize("out", options) }
  }

  @Test func modelsThatTheLibraryLeavesAlone() throws {
    try Data(#"{"model_type": "falcon"}"#.utf8).write(
      to: URL(filePath: folder.path("model/config.json")))
    try refusal(.architectureUnsupported) { _ = try folder.quantize("out") }
  }

  /// A quantized folder with one tensor left out, replaced or renamed.
  private func damaged(
    _ change: (inout [(name: String, tensor: Tensor)]) -> Void
  ) throws -> String {
    if try !folder.names().contains("four") { _ = try folder.quantize("four") }
    let files = try ShardedSafetensors(folder: folder.path("four"))
    var tensors = try files.names.map { (name: $0, tensor: try files.readTensor($0)) }
    change(&tensors)
    try folder.write(tensors, to: "damaged")
    return folder.path("damaged")
  }

  private func dequantize(_ path: String) throws {
    try Pipeline.dequantize(path, dtype: .float32, to: folder.path("out"))
  }

  @Test func statesThatAreMissingOrUnknown() throws {
    let state = "q.weight.quant_state.bitsandbytes__nf4"
    var path = try damaged { $0.removeAll { $0.name == state } }
    try refusal(.fourBitState, names: "q.weight") { try dequantize(path) }
    path = try damaged { $0.removeAll { $0.name.hasPrefix("q.weight.") } }
    try refusal(.fourBitState, names: "q.weight") { try dequantize(path) }
    path = try damaged { tensors in
      for index in tensors.indices where tensors[index].name == state {
        tensors[index].name = "q.weight.quant_state.bitsandbytes__nf5"
      }
    }
    try refusal(.fourBitState, names: "nf5") { try dequantize(path) }
  }

  @Test(arguments: ["q.weight", "q.weight.absmax", "q.weight.nested_absmax"])
  func partsOfTheWrongLength(_ name: String) throws {
    let path = try damaged { tensors in
      for index in tensors.indices where tensors[index].name == name {
        tensors[index].tensor = Tensor(zeros: [3], tensors[index].tensor.dtype)
      }
    }
    try refusal(.fourBitTensor, names: name) { try dequantize(path) }
  }

  @Test(arguments: [
    (#""bnb_4bit_quant_type": "fp4""#, DiagnosticCode.quantizationContradiction),
    (#""bnb_4bit_use_double_quant": false"#, .quantizationContradiction),
    (#""llm_int8_skip_modules": ["q"]"#, .quantizationContradiction),
    (#""load_in_4bit": false"#, .quantizationContradiction),
    (#""load_in_8bit": true"#, .quantizationContradiction),
    (#""llm_int8_has_fp16_weight": true"#, .quantizationUnsupported),
  ])
  func configsThatContradict(_ member: String, _ code: DiagnosticCode) throws {
    _ = try folder.quantize("four")
    let text = #"{"quantization_config": {"quant_method": "bitsandbytes", \#(member)}}"#
    try Data(text.utf8).write(to: URL(filePath: folder.path("four/config.json")))
    let tensor = code == .quantizationContradiction ? ".weight" : nil
    try refusal(code, names: tensor) { try dequantize(folder.path("four")) }
  }

  @Test func fourBitsThatAreNotThere() throws {
    let text = #"{"quantization_config": {"load_in_4bit": true}}"#
    try Data(text.utf8).write(to: URL(filePath: folder.path("model/config.json")))
    try refusal(.quantizationContradiction, names: ".weight") {
      try dequantize(folder.path("model"))
    }
  }
}
