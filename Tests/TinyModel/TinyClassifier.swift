// The tiny models that tell classes apart, whose goldens were made with transformers and PEFT.
import QLoRACPU
import QLoRAFormats
import QLoRAModels
import QLoRATensor
import TestSupport

/// A tiny random model with its adapter and head.
package struct TinyClassifier {
  package static let names = ["bert", "roberta", "distilbert", "llama", "qwen2"]
  package static let classes = 3

  package let goldens: SafetensorsFile
  package let base: GoldenBase
  package let model: DecoderModel
  package let batch: TokenBatch

  package init(
    _ name: String, _ base: GoldenBase, threads: Int = 2, on backend: (any Backend)? = nil,
    computeDType: DType = .float32, adapters: Bool = true
  ) throws {
    goldens = try SafetensorsFile(path: Goldens.path("classifiers/\(name)/golden.safetensors"))
    self.base = base
    var options = LoadOptions(quantization: base.quantization, computeDType: computeDType)
    options.classes = ClassOptions(count: Self.classes)
    model = try ModelLoader(
      try ModelSource.open(Goldens.path("classifiers/\(name)")),
      backend: try backend ?? CPUBackend(threads: threads), options: options
    ).load()
    batch = try Self.batch(goldens)
    if adapters { try model.addAdapters(try adapter()) }
  }

  private static func batch(_ goldens: SafetensorsFile) throws -> TokenBatch {
    func integers(_ name: String) throws -> [Int32] {
      try goldens.readTensor(name).withElements(Int64.self) { $0.map { Int32($0) } }
    }
    let lengths = try integers("lengths").map(Int.init)
    var batch = TokenBatch(
      tokens: try integers("tokens"), positions: lengths.flatMap { (0..<$0).map(Int32.init) },
      bounds: lengths.reduce(into: [0]) { $0.append($0[$0.count - 1] + $1) }, rows: [],
      targets: try integers("classes"))
    batch.rows = batch.bounds.dropFirst().map { Int32($0 - 1) }
    batch.types = try integers("types")
    return batch
  }

  package func floats(_ name: String) throws -> [Float] {
    try goldens.readTensor("\(base.rawValue).\(name)").floats()
  }

  package func adapter() throws -> PEFTAdapter {
    let (start, end) = ("adapter.base_model.model.", ".lora_A.weight")
    let names = goldens.entries.map(\.name).filter { $0.hasPrefix(start) }
    let modules = names.filter { $0.hasSuffix(end) }
      .map { String($0.dropFirst(start.count).dropLast(end.count)) }
    return PEFTAdapter(
      config: PEFTAdapterConfig(
        baseModel: nil, rank: 2, alpha: 4, targets: .pattern("all-linear"),
        modulesToSave: ["classifier", "score"], taskType: PEFTAdapterConfig.classification),
      pairs: try modules.map { module in
        PEFTAdapter.Pair(
          module: module, a: try goldens.readTensor("\(start)\(module).lora_A.weight"),
          b: try goldens.readTensor("\(start)\(module).lora_B.weight"))
      },
      saved: try names.filter { !$0.contains(".lora_") }.map {
        (String($0.dropFirst(start.count)), try goldens.readTensor($0))
      })
  }
}
