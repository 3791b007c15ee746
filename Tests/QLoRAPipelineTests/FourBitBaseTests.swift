// Bases that come in 4 bits and are damaged: refused before a run, a load or a folder begins.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct FourBitBaseTests {
  let tiny: TinyRun
  /// A linear of the model, in 4 bits.
  static let weight = "model.layers.0.mlp.up_proj.weight"

  init() throws {
    tiny = try TinyRun()
    _ = try Pipeline.quantize(
      model: tiny.modelPath, QuantizationOptions(), to: tiny.folder.path("four"))
  }

  private func change(
    _ body: (inout [(name: String, tensor: Tensor)]) -> Void
  ) throws {
    let files = try ShardedSafetensors(folder: tiny.folder.path("four"))
    var tensors = try files.names.map { (name: $0, tensor: try files.readTensor($0)) }
    body(&tensors)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    try Data(bytes).write(to: tiny.folder.url.appending(path: "four/model.safetensors"))
  }

  private func config(_ old: String, _ new: String) throws {
    let text = String(decoding: try tiny.bytes("four/config.json"), as: UTF8.self)
    #expect(text.contains(old))
    try tiny.write("four/config.json", text.replacing(old, with: new))
  }

  enum Damage: CaseIterable {
    case noState, otherState, shortState, noScales, shortScales, shortCodes, shortMap
    case otherType, otherNesting, skipped, denied
  }

  private func make(_ damage: Damage) throws {
    func cut(_ suffix: String, _ count: Int) throws {
      try change { tensors in
        for index in tensors.indices where tensors[index].name.hasPrefix(Self.weight + suffix) {
          let tensor = tensors[index].tensor
          guard !suffix.isEmpty || tensors[index].name == Self.weight else { continue }
          tensors[index].tensor = Tensor(
            shape: [count], dtype: tensor.dtype, storage: tensor.storage,
            byteOffset: tensor.byteOffset)
        }
      }
    }
    func remove(_ suffix: String) throws {
      try change { $0.removeAll { $0.name.hasPrefix(Self.weight + suffix) } }
    }
    switch damage {
    case .noState: try remove(".quant_state")
    case .noScales: try remove(".absmax")
    case .shortState: try cut(".quant_state", 20)
    case .shortScales: try cut(".absmax", 3)
    case .shortCodes: try cut("", 3)
    case .shortMap: try cut(".nested_quant_map", 16)
    case .otherState:
      try change { tensors in
        for index in tensors.indices where tensors[index].name.contains(Self.weight + ".quant_s") {
          tensors[index].name = Self.weight + ".quant_state.bitsandbytes__nf2"
        }
      }
    case .otherType: try config(#""nf4""#, #""fp4""#)
    case .otherNesting:
      try config(#""bnb_4bit_use_double_quant": true"#, #""bnb_4bit_use_double_quant": false"#)
    case .skipped:
      let module = Self.weight.dropLast(".weight".count)
      try config(
        #""llm_int8_skip_modules": null"#, #""llm_int8_skip_modules": ["\#(module)"]"#)
    case .denied: try config(#""load_in_4bit": true"#, #""load_in_4bit": false"#)
    }
  }

  @Test(arguments: Damage.allCases)
  func damageIsRefusedByTensor(_ damage: Damage) throws {
    try make(damage)
    let folder = tiny.folder.path("four")
    let names = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path("")).sorted()
    for attempt in [
      { try tiny.train("run", ["model.path=\(folder)", "training.steps=1"]) as Any },
      { try Pipeline.dequantize(folder, dtype: .float32, to: tiny.folder.path("plain")) },
      { try Pipeline.load(
        BaseOptions(
          model: folder, adapter: nil, quantization: nil, computeDType: nil, threads: 1)) },
    ] {
      let found = #expect(throws: Diagnostic.self) { _ = try attempt() }
      #expect(found?.code.exitCode == .badData, "\(damage): \(String(describing: found))")
      #expect("\(String(describing: found))".contains(".weight"))
    }
    let after = try FileManager.default.contentsOfDirectory(atPath: tiny.folder.path("")).sorted()
    #expect(after == names)
  }
}
