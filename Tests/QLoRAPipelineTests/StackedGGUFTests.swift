// GGUF files in which all experts' weights, or all heads' norms, lie in one tensor: written, and
// read back by our own reader. Scripts/interop/families.py has llama.cpp load them.
import Foundation
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAPipeline
import QLoRATensor
import TestSupport
import Testing

@Suite struct StackedGGUFTests {
  let folder: TemporaryFolder
  static let names = ["mixtral", "qwen3-moe", "stablelm-heads"]

  init() throws { folder = try TemporaryFolder() }

  private func write(_ bytes: some Sequence<UInt8>, _ name: String) throws {
    try Data(bytes).write(to: folder.url.appending(path: name))
  }

  /// A golden with the tokenizer of `tiny-chat`, which has more tokens: their rows are zeros.
  private func model(_ name: String) throws -> String {
    let rows = 320
    let source = try ModelSource.open(Goldens.path("families/\(name)"))
    var config = source.config
    config.vocabularySize = rows
    // llama.cpp has it so.
    config.form.experts?.isNormalized = true
    let tensors = try config.weightShapes.map { name, shape in
      let values = try source.weights.tensor(name).floats()
      let padding = [Float](repeating: 0, count: shape.count - values.count)
      return (name: name, tensor: Tensor(values + padding, shape: shape))
    }
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(tensors) { bytes += $0 }
    try write(bytes, "model.safetensors")
    try write(JSONWriter.text(config.huggingFaceJSON(dtype: .float32)).utf8, "config.json")
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      try FileManager.default.copyItem(
        atPath: Goldens.path("tiny-chat/\(name)"), toPath: folder.path(name))
    }
    return folder.url.path
  }

  @Test(arguments: names, [GGUFTensorType.f32, .q8_0])
  func aModelIsReadBack(_ name: String, _ type: GGUFTensorType) throws {
    let path = try model(name)
    let plain = try ModelSource.open(path)
    let output = folder.path("\(name).gguf")
    _ = try Pipeline.exportGGUFModel(path, model: nil, base: .original, type: type, to: output)
    let found = try ModelSource.open(output)
    #expect(found.config.form == plain.config.form)
    #expect(Set(found.weights.names) == Set(plain.weights.names))
    for name in plain.weights.names {
      let (values, expected) = try (
        found.weights.tensor(name), plain.weights.tensor(name)
      )
      #expect(values.shape == expected.shape)
      if type == .f32 { #expect(values.floats() == expected.floats(), "\(name)") }
      let largest = expected.floats().map(\.magnitude).max() ?? 0
      let worst = zip(values.floats(), expected.floats()).map { abs($0 - $1) }.max() ?? .infinity
      // Half a step of 127 to a block's largest, and that in 11 bits.
      #expect(worst <= largest * (0.5 / 127 + 0x1p-11), "\(name): \(worst)")
    }
  }

  /// Pairs of all experts in one tensor, zeros for those that have none.
  @Test func anAdapterOfExpertsIsStacked() throws {
    let path = try model("mixtral")
    let config = try ModelSource.open(path).config
    let shape = config.shape(of: .expertGate)
    var generator = SeededGenerator(seed: 3)
    let experts = [0, 2]
    let pairs = experts.map { expert in
      PEFTAdapter.Pair(
        module: "model.layers.1.block_sparse_moe.experts.\(expert).w1",
        a: Tensor(generator.normals(2 * shape[1]), shape: [2, shape[1]]),
        b: Tensor(generator.normals(shape[0] * 2), shape: [shape[0], 2]))
    }
    let file = try GGUFFile(path: try export(pairs, of: path, to: "lora.gguf"))
    #expect(file.tensors.count == 2)
    let stem = "blk.1.ffn_gate_exps.weight"
    for (ending, halves, extents) in [
      ("a", pairs.map(\.a), [4, 2, shape[1]]), ("b", pairs.map(\.b), [4, shape[0], 2]),
    ] {
      let tensor = try file.tensor("\(stem).lora_\(ending)")
      #expect(tensor.extents == extents)
      var values = [Float](repeating: .nan, count: tensor.count)
      try values.withUnsafeMutableBufferPointer {
        try file.readFloats(tensor.name, range: 0..<$0.count, into: $0)
      }
      let zeros = [Float](repeating: 0, count: halves[0].count)
      #expect(values == halves[0].floats() + zeros + halves[1].floats() + zeros)
    }
    let other = PEFTAdapter.Pair(
      module: "model.layers.1.block_sparse_moe.experts.3.w1",
      a: Tensor(zeros: [1, shape[1]]), b: Tensor(zeros: [shape[0], 1]))
    let failure = #expect(throws: Diagnostic.self) {
      try export(pairs + [other], of: path, to: "ranks.gguf")
    }
    #expect(failure?.code == .adapterMismatch)
  }

  @discardableResult
  private func export(
    _ pairs: [PEFTAdapter.Pair], of model: String, to name: String
  ) throws -> String {
    let adapter = PEFTAdapter(
      config: PEFTAdapterConfig(
        baseModel: model, rank: 2, alpha: 4, targets: .list(pairs.map(\.module)),
        rankPattern: ["experts.3.w1": 1]),
      pairs: pairs)
    var bytes: [UInt8] = []
    try SafetensorsWriter.write(adapter.tensors()) { bytes += $0 }
    let source = folder.path("adapter-\(name)")
    try FileManager.default.createDirectory(atPath: source, withIntermediateDirectories: true)
    try write(bytes, "adapter-\(name)/adapter_model.safetensors")
    try write(adapter.config.fileText().utf8, "adapter-\(name)/adapter_config.json")
    let output = folder.path(name)
    try Pipeline.exportGGUFAdapter(source, model: nil, type: .f32, to: output)
    return output
  }
}
