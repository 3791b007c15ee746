// The tiny models that read a text and write another, whose goldens were made with transformers and
// PEFT.
import QLoRACPU
import QLoRAFormats
import QLoRAModels
import QLoRATensor
import TestSupport

/// A tiny random T5 with its adapter.
package struct TinyT5 {
  package static let names = ["t5", "t5-gated"]

  package let goldens: SafetensorsFile
  package let base: GoldenBase
  package let model: DecoderModel
  package let batch: TokenBatch

  package init(
    _ name: String, _ base: GoldenBase, threads: Int = 2, on backend: (any Backend)? = nil,
    computeDType: DType = .float32, adapters: Bool = true
  ) throws {
    goldens = try SafetensorsFile(path: Goldens.path("seq2seq/\(name)/golden.safetensors"))
    self.base = base
    model = try ModelLoader(
      try ModelSource.open(Goldens.path("seq2seq/\(name)")),
      backend: try backend ?? CPUBackend(threads: threads),
      options: LoadOptions(quantization: base.quantization, computeDType: computeDType)
    ).load()
    batch = Self.batch(try Self.rows(goldens))
    if adapters { try model.addAdapters(try adapter()) }
  }

  /// What is read and what is written of each row.
  package static func rows(
    _ goldens: SafetensorsFile
  ) throws -> [(read: [Int32], written: [Int32])] {
    func parts(_ name: String) throws -> [[Int32]] {
      func integers(_ name: String) throws -> [Int32] {
        try goldens.readTensor(name).withElements(Int64.self) { $0.map { Int32($0) } }
      }
      var rest = try integers(name)[...]
      return try integers(name + "_lengths").map { length in
        defer { rest = rest.dropFirst(Int(length)) }
        return Array(rest.prefix(Int(length)))
      }
    }
    return Array(zip(try parts("read"), try parts("written")))
      .map { (read: $0.0, written: $0.1) }
  }

  /// Rows as they are packed: what is read, the token that answers begin behind, and the answer.
  package static func batch(_ rows: [(read: [Int32], written: [Int32])]) -> TokenBatch {
    var batch = TokenBatch(tokens: [], positions: [], bounds: [0], rows: [], targets: [])
    for row in rows {
      let first = Int32(batch.tokens.count + row.read.count)
      batch.rows += row.written.indices.map { first + Int32($0) }
      batch.targets += row.written
      batch.tokens += row.read + [0] + row.written
      batch.types += row.read.map { _ in 0 } + [1] + row.written.map { _ in 1 }
      batch.bounds.append(batch.tokens.count)
    }
    batch.positions = zip(batch.bounds, batch.bounds.dropFirst())
      .flatMap { (0..<Int32($1 - $0)) }
    return batch
  }

  package func floats(_ name: String) throws -> [Float] {
    try goldens.readTensor("\(base.rawValue).\(name)").floats()
  }

  package func adapter() throws -> PEFTAdapter {
    let (start, end) = ("adapter.base_model.model.", ".lora_A.weight")
    let modules = goldens.entries.map(\.name).filter { $0.hasPrefix(start) && $0.hasSuffix(end) }
      .map { String($0.dropFirst(start.count).dropLast(end.count)) }
    return PEFTAdapter(
      config: PEFTAdapterConfig(
        baseModel: nil, rank: 2, alpha: 4, targets: .pattern("all-linear"),
        taskType: PEFTAdapterConfig.readingAndWriting),
      pairs: try modules.map { module in
        PEFTAdapter.Pair(
          module: module, a: try goldens.readTensor("\(start)\(module).lora_A.weight"),
          b: try goldens.readTensor("\(start)\(module).lora_B.weight"))
      })
  }
}
