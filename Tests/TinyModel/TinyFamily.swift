// The tiny models of every family, whose goldens were made with torch, transformers, PEFT and
// bitsandbytes.
import QLoRACPU
import QLoRAFormats
import QLoRAModels
import QLoRATensor
import TestSupport

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A tiny random model of a family with its adapter.
package struct TinyFamily {
  package let goldens: SafetensorsFile
  package let base: GoldenBase
  package let model: DecoderModel
  package let batch: TokenBatch

  package static let names: [String] = {
    let folder = Goldens.url("families")
    return (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?.sorted() ?? []
  }()

  /// Those that are there as a GGUF file, too.
  package static let namesOfGGUF = names.filter {
    FileManager.default.fileExists(atPath: Goldens.path("families/\($0)/model.gguf"))
  }

  package init(
    _ name: String, _ base: GoldenBase, threads: Int = 2, adapters: Bool = true,
    computeDType: DType = .float32
  ) throws {
    try self.init(
      name, base, on: try CPUBackend(threads: threads), adapters: adapters,
      computeDType: computeDType)
  }

  package init(
    _ name: String, _ base: GoldenBase, on backend: any Backend, adapters: Bool = true,
    computeDType: DType = .float32
  ) throws {
    goldens = try SafetensorsFile(path: Goldens.path("families/\(name)/golden.safetensors"))
    self.base = base
    model = try ModelLoader(
      try ModelSource.open(Goldens.path("families/\(name)")),
      backend: backend,
      options: LoadOptions(quantization: base.quantization, computeDType: computeDType)
    ).load()
    batch = try TinyLlama.packedBatch(goldens)
    if adapters { try model.addAdapters(try adapter()) }
  }

  package func floats(_ name: String) throws -> [Float] {
    try goldens.readTensor("\(base.rawValue).\(name)").floats()
  }

  /// Rank 2, scale 2, on every linear.
  package func adapter() throws -> PEFTAdapter {
    let (start, end) = ("adapter.", ".A")
    let modules = goldens.entries.map(\.name).filter { $0.hasPrefix(start) && $0.hasSuffix(end) }
      .map { String($0.dropFirst(start.count).dropLast(end.count)) }
    return PEFTAdapter(
      config: PEFTAdapterConfig(baseModel: nil, rank: 2, alpha: 4, targets: .pattern("all-linear")),
      pairs: try modules.map { module in
        PEFTAdapter.Pair(
          module: module, a: try goldens.readTensor("adapter.\(module).A"),
          b: try goldens.readTensor("adapter.\(module).B"))
      })
  }
}
