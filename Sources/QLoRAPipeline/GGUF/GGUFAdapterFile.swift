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
    let groups = try groups()
    let declarations = groups.flatMap { group in
      [
        GGUFWriter.Declaration(group.stored + ".lora_a", type, group.stack + group.a.extents),
        GGUFWriter.Declaration(group.stored + ".lora_b", type, group.stack + group.b.extents),
      ]
    }
    let plan = try GGUFWriter(metadata: metadata, declarations) { _ in }
    fileSystem.sweep(FilePath.parent(of: output), of: FilePath.lastComponent(of: output))
    try AtomicFile.write(output, byteCount: plan.byteCount, replacing: false, fileSystem) { sink in
      var writer = try GGUFWriter(metadata: metadata, declarations) { try sink.write($0) }
      for group in groups {
        for pair in group.pairs {
          try write(
            pair?.a.floats() ?? [Float](repeating: 0, count: group.a.count),
            group.stored + ".lora_a", of: pair, to: &writer)
        }
        for pair in group.pairs {
          try write(
            pair.map { rows($0, factor: scaling.factors[$0.module] ?? 1) }
              ?? [Float](repeating: 0, count: group.b.count),
            group.stored + ".lora_b", of: pair, to: &writer)
        }
      }
      try writer.finish()
    }
  }

  /// What belongs to one tensor of the base: a pair, or one for each expert, nil for those that
  /// have none.
  private struct Group {
    let stored: String
    /// The number of experts; empty for a tensor of its own.
    var stack: [Int] = []
    let a: Shape
    let b: Shape
    var pairs: [PEFTAdapter.Pair?]
  }

  /// - Throws: `adapterMismatch` where experts of one layer have several ranks, for which one
  ///   tensor has no room.
  private func groups() throws -> [Group] {
    var groups: [Group] = []
    var places: [String: Int] = [:]
    for pair in adapter.pairs {
      let stored = try storedName(pair)
      let stack = GGUFNames.stackCount(pair.module + ".weight", config)
      let number = stack == nil ? 0 : config.role(of: pair.module)?.number ?? 0
      let place = places[stored] ?? groups.count
      if place == groups.count {
        places[stored] = place
        groups.append(
          Group(
            stored: stored, stack: stack.map { [$0] } ?? [], a: pair.a.shape, b: pair.b.shape,
            pairs: .init(repeating: nil, count: stack ?? 1)))
      }
      guard groups[place].a == pair.a.shape, groups[place].pairs.indices.contains(number) else {
        throw Diagnostic(
          .adapterMismatch, "\"\(pair.module)\" has another rank than other experts of its layer",
          remedy: "write the merged model with --format merged-gguf")
      }
      groups[place].pairs[number] = pair
    }
    return groups
  }

  private func storedName(_ pair: PEFTAdapter.Pair) throws(Diagnostic) -> String {
    guard let stored = GGUFNames.gguf(pair.module + ".weight", config) else {
      throw Diagnostic(.adapterMismatch, "\"\(pair.module)\" has no name in GGUF")
    }
    return stored
  }

  private func write(
    _ values: [Float], _ stored: String, of pair: PEFTAdapter.Pair?, to writer: inout GGUFWriter
  ) throws {
    var encoder = GGUFEncoder(type)
    do {
      try values.withUnsafeBufferPointer {
        try encoder.encode($0) { try writer.write($0, of: stored) }
      }
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, "\"\(pair?.module ?? stored)\": \(diagnostic.message)",
        remedy: diagnostic.remedy)
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
