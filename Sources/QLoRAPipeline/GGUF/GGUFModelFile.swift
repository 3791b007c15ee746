// A whole model as one GGUF file for llama.cpp: metadata, vocabulary and template, and every weight
// once. One piece of a tensor is in memory at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor
import QLoRAText

struct GGUFModelFile {
  let weights: MergedWeights
  let source: ModelSource
  /// Of the matrices; vectors are always F32.
  let type: GGUFTensorType
  /// `general.name`.
  let name: String

  /// A tensor of the file and where it comes from: a weight, those of all experts or heads one
  /// after the other, or rotary divisors.
  private struct Item {
    let declaration: GGUFWriter.Declaration
    var weights: [String] = []
    var values: [Float] = []
  }

  /// Writes the file: it appears complete or not at all.
  ///
  /// - Returns: matrices that are F16, since their rows are no multiple of the type's blocks.
  /// - Throws: `architectureUnsupported` for a tensor that a model of the family does not have, and
  ///   for what GGUF cannot say,
  ///   `tokenizerUnsupported`, `ggufNumber`; nothing is half-written.
  func write(
    to output: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws -> [String] {
    try checkNames()
    let items = try items()
    let metadata = try metadata()
    // Only for its size; the one that writes has the sink.
    let plan = try GGUFWriter(metadata: metadata, items.map(\.declaration)) { _ in }
    fileSystem.sweep(FilePath.parent(of: output), of: FilePath.lastComponent(of: output))
    try AtomicFile.write(output, byteCount: plan.byteCount, replacing: false, fileSystem) { sink in
      var writer = try GGUFWriter(metadata: metadata, items.map(\.declaration)) {
        try sink.write($0)
      }
      for item in items { try write(item, to: &writer) }
      try writer.finish()
    }
    return items.filter { $0.declaration.type == .f16 && type != .f16 }.map(\.declaration.name)
  }

  // MARK: Tensors

  private func items() throws -> [Item] {
    var items = source.config.rope.ggufDivisors(rotaryDim: source.config.rotaryDim).map {
      Item(declaration: .init($0.name, .f32, [$0.values.count]), values: $0.values)
    }
    for (name, shape) in source.config.weightShapes {
      guard try weights.shape(of: name) == shape,
        let stored = GGUFNames.gguf(name, source.config)
      else {
        throw Diagnostic(
          .unexpectedShape,
          "expected shape \(shape) from the configuration, found \(try weights.shape(of: name))",
          at: .tensor(file: source.path, name: name))
      }
      // All of a stack come one after the other.
      if items.last?.declaration.name == stored {
        items[items.count - 1].weights.append(name)
        continue
      }
      let stack = GGUFNames.stackCount(name, source.config).map { [$0] } ?? []
      items.append(
        Item(
          declaration: .init(stored, tensorType(shape), stack + shape.extents), weights: [name]))
    }
    return items
  }

  private func tensorType(_ shape: Shape) -> GGUFTensorType {
    if shape.rank < 2 { return .f32 }
    return shape[-1] % type.blockElements == 0 ? type : .f16
  }

  /// Refuses what the file would silently lack.
  private func checkNames() throws {
    if let obstacle = source.config.ggufObstacle {
      throw Diagnostic(.architectureUnsupported, obstacle, at: .file(source.path))
    }
    let known = Set(source.config.weightShapes.map(\.name))
    for name in source.weights.names where !known.contains(name) {
      // What a tied head or a frequency table holds is elsewhere, too.
      let isRedundant =
        name.hasSuffix(".rotary_emb.inv_freq")
        || name == source.config.names.head + ".weight" && source.config.tiesEmbeddings
      guard !isRedundant, !isOutside(name) else { continue }
      throw Diagnostic(
        .architectureUnsupported, "a model of this configuration has no such tensor",
        at: .tensor(file: source.path, name: name))
    }
  }

  /// Whether a tensor is of the part that sees images, which llama.cpp keeps in a file of its own.
  private func isOutside(_ name: String) -> Bool {
    guard let holder = source.config.holder else { return false }
    let own = ["model.\(holder).", source.config.names.head + "."]
    return !own.contains { name.hasPrefix($0) }
  }

  private func write(_ item: Item, to writer: inout GGUFWriter) throws {
    var encoder = GGUFEncoder(item.declaration.type)
    let stored = item.declaration.name
    guard !item.weights.isEmpty else {
      return try item.values.withUnsafeBufferPointer {
        try encoder.encode($0) { try writer.write($0, of: stored) }
      }
    }
    for name in item.weights { try write(name, by: &encoder, stored, to: &writer) }
  }

  private func write(
    _ name: String, by encoder: inout GGUFEncoder, _ stored: String, to writer: inout GGUFWriter
  ) throws {
    let order = GGUFHeadRows(name, source.config)
    // llama.cpp multiplies by the weights of norms as they are.
    let isShifted = source.config.form.norm == .rmsAroundOne && name.hasSuffix("norm.weight")
    do {
      try weights.forEachPiece(of: name, rowMultiple: order?.rowMultiple ?? 1) { piece in
        if isShifted {
          piece.withMutableElements(Float.self) { for index in $0.indices { $0[index] += 1 } }
        }
        try ordered(piece, order).withElements(Float.self) {
          try encoder.encode($0) { try writer.write($0, of: stored) }
        }
      }
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message, at: .tensor(file: source.path, name: name),
        remedy: diagnostic.remedy)
    }
  }

  /// Whole heads in GGUF's order. A bias comes as one row.
  private func ordered(_ piece: Tensor, _ order: GGUFHeadRows?) -> Tensor {
    guard let order else { return piece }
    let width = piece.shape[0] == 1 ? 1 : piece.shape[1]
    let result = weights.backend.allocate(piece.shape, .float32)
    piece.withElements(Float.self) { rows in
      result.withMutableElements(Float.self) { order.permute(rows, width: width, into: $0) }
    }
    return result
  }

  // MARK: Metadata

  /// What a base's file says that is not true of the new one, or that the writer says itself.
  private static let replaced: Set<String> = [
    "general.architecture", "general.type", "general.name", "general.file_type",
    "general.quantization_version", "general.alignment",
  ]

  private func metadata() throws -> GGUFWriter.Metadata {
    let general: GGUFWriter.Metadata = [
      ("general.architecture", .string(source.config.family.ggufArchitecture)),
      ("general.type", .string("model")),
      ("general.name", .string(name)),
      ("general.file_type", .uint32(type.fileType)),
      ("general.quantization_version", .uint32(2)),
    ]
    switch source.origin {
    case .gguf(let file):
      let kept = file.keys.filter { key in
        !Self.replaced.contains(key) && !key.hasPrefix("quantize.") && !key.hasPrefix("split.")
      }
      return general + kept.compactMap { key in file.metadata[key].map { (key: key, value: $0) } }
    case .folder(let folder):
      var vocabulary = try GGUFVocabulary(folder: folder, rows: source.config.vocabularySize)
      vocabulary.bosID = vocabulary.bosID ?? source.config.bosTokens.first.map(Int32.init)
      vocabulary.eosID = vocabulary.eosID ?? source.config.eosTokens.first.map(Int32.init)
      return general + source.config.ggufMetadata() + vocabulary.metadata
    case .random(let name):
      throw Diagnostic(.vocabularyMissing, "random weights have no tokenizer", at: .file(name))
    }
  }
}

extension GGUFTensorType {
  /// llama.cpp's number for a file whose matrices are of this type.
  fileprivate var fileType: Int {
    switch self {
    case .f16: 1
    case .q8_0: 7
    case .bf16: 32
    default: 0
    }
  }
}
