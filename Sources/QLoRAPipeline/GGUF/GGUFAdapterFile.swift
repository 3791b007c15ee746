// An adapter as the GGUF file that llama.cpp applies to a base model of its own. The base's weights
// are not in it.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

struct GGUFAdapterFile {
  let adapter: PEFTAdapter
  /// Of the base model: its heads decide the order of rows.
  let config: ModelConfig
  let type: GGUFTensorType
  /// `general.name`.
  let name: String

  /// Writes the file: it appears complete or not at all.
  func write(to output: String, _ fileSystem: any FileSystem = PosixFileSystem()) throws {
    let scaling = try Scaling(adapter)
    let metadata: GGUFWriter.Metadata = [
      ("general.architecture", .string(config.family.ggufArchitecture)),
      ("general.type", .string("adapter")),
      ("general.name", .string(name)), ("adapter.type", .string("lora")),
      ("adapter.lora.alpha", .float32(scaling.alpha)),
    ]
    let declarations = try adapter.pairs.flatMap { pair in
      let stored = try storedName(pair)
      return [
        GGUFWriter.Declaration(stored + ".lora_a", type, pair.a.shape.extents),
        GGUFWriter.Declaration(stored + ".lora_b", type, pair.b.shape.extents),
      ]
    }
    let plan = try GGUFWriter(metadata: metadata, declarations) { _ in }
    fileSystem.sweep(FilePath.parent(of: output), of: FilePath.lastComponent(of: output))
    try AtomicFile.write(output, byteCount: plan.byteCount, replacing: false, fileSystem) { sink in
      var writer = try GGUFWriter(metadata: metadata, declarations) { try sink.write($0) }
      for pair in adapter.pairs {
        let stored = try storedName(pair)
        try write(pair.a.floats(), stored + ".lora_a", of: pair, to: &writer)
        try write(
          rows(pair, factor: scaling.factors[pair.module] ?? 1), stored + ".lora_b", of: pair,
          to: &writer)
      }
      try writer.finish()
    }
  }

  private func storedName(_ pair: PEFTAdapter.Pair) throws(Diagnostic) -> String {
    guard let stored = GGUFNames.gguf(pair.module + ".weight", config) else {
      throw Diagnostic(.adapterMismatch, "\"\(pair.module)\" has no name in GGUF")
    }
    return stored
  }

  private func write(
    _ values: [Float], _ stored: String, of pair: PEFTAdapter.Pair, to writer: inout GGUFWriter
  ) throws {
    var encoder = GGUFEncoder(type)
    do {
      try values.withUnsafeBufferPointer {
        try encoder.encode($0) { try writer.write($0, of: stored) }
      }
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, "\"\(pair.module)\": \(diagnostic.message)", remedy: diagnostic.remedy)
    }
  }

  /// B, scaled by what one alpha of the file does not say, its rows in the order of the base's.
  private func rows(_ pair: PEFTAdapter.Pair, factor: Double) -> [Float] {
    let plain = factor == 1 ? pair.b.floats() : pair.b.floats().map { Float(Double($0) * factor) }
    guard let order = GGUFHeadRows(pair.module + ".weight", config) else { return plain }
    var result = plain
    plain.withUnsafeBufferPointer { rows in
      result.withUnsafeMutableBufferPointer {
        order.permute(rows, width: pair.rank, into: $0)
      }
    }
    return result
  }

  /// llama.cpp multiplies B·A by alpha / rank with one alpha for all modules, and takes alpha 0 for
  /// a factor of one.
  struct Scaling {
    /// The one that is right for most modules.
    let alpha: Float
    /// What B must be multiplied by, of the modules that it is wrong for.
    private(set) var factors: [String: Double] = [:]

    init(_ adapter: PEFTAdapter) throws {
      let wanted = try adapter.pairs.map { pair in
        (pair.module, try adapter.config.alphaOverRank(of: pair.module, rank: pair.rank))
      }
      let counts = Dictionary(grouping: wanted.map(\.1).filter { $0 != 0 }) { $0 }
      let most = counts.max { ($0.value.count, $0.key) < ($1.value.count, $1.key) }?.key ?? 1
      alpha = Float(most)
      for (module, value) in wanted where value != most || Double(alpha) != most {
        factors[module] = value / Double(alpha)
      }
    }
  }
}
