// A merged model with its linears quantized, as the folder that bitsandbytes loads. One weight is
// in memory at a time.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRATensor

struct RequantizedFolder {
  let weights: MergedWeights
  let source: ModelSource
  let requantization: Requantization
  /// The type of what is not quantized, and of weights before they are.
  let dtype: DType
  let shardBytes: Int

  /// Writes the folder in one piece: it appears complete or not at all.
  ///
  /// - Throws: `weightNotFinite` for what the sum made of a weight.
  func write(to output: String) throws {
    let choice = try LinearModules(
      modelType: source.config.family.rawValue, isDiffusers: false, names: weights.names,
      skip: requantization.skip)
    var tensors: [FolderTensors] = []
    var kept: [(name: String, shape: Shape)] = []
    for name in weights.names {
      let shape = try weights.shape(of: name)
      if try choice.isQuantized(name, shape) {
        tensors.append(linear(name, shape))
      } else {
        kept.append((name, shape))
        tensors.append(weights.tensors(name, shape, as: dtype))
      }
    }
    let companions = FolderCompanions(
      origin: source.origin, config: source.config, dtype: dtype,
      quantization: QuantizationEntry.json(
        requantization.quantization, computeDType: dtype,
        skippedModules: choice.skippedModules(kept)), isUntied: source.isUntied)
    try FolderWriter(
      shardBytes: shardBytes, origin: source.path, companions: try companions.files()
    ).write(tensors, to: output)
  }

  private func linear(_ name: String, _ shape: Shape) -> FolderTensors {
    let quantization = requantization.quantization(of: name, in: source)
    let declarations = QuantizedLinear.declarations(name, shape, quantization, dtype)
    return FolderTensors(declarations: declarations) { give in
      let weight = try weights.prepared(name, quantization.storage, dtype)
      for (name, tensor) in try QuantizedLinear.parts(name, weight, dtype, weights.backend) {
        try tensor.withBytes { try give(name, $0) }
      }
    }
  }
}

/// How merged weights are quantized: as the base's files were, else as training held them.
struct Requantization {
  let quantization: WeightQuantization
  let skip: [String]

  init(_ source: ModelSource, _ load: LoadOptions?) {
    guard let files = source.safetensors, let stored = source.storedQuantization else {
      quantization = load?.quantization ?? .fourBit(QuantizationSpec())
      skip = load?.skip ?? []
      return
    }
    quantization = stored
    // What the files have in full precision beside quantized linears is to stay so.
    skip = files.names.filter { $0.hasSuffix(".weight") && !files.isQuantized($0) }
      .map { String($0.dropLast(".weight".count)) }
  }

  /// Linears of one folder may have block sizes of their own.
  func quantization(of name: String, in source: ModelSource) -> WeightQuantization {
    source.safetensors?.fourBitSpec(name).map(WeightQuantization.fourBit) ?? quantization
  }
}

extension MergedWeights {
  /// One tensor as plain numbers of a folder.
  func tensors(_ name: String, _ shape: Shape, as dtype: DType) -> FolderTensors {
    guard isTransposed(name) else {
      return FolderTensors(.init(name, dtype, shape)) { consume in
        try forEachPiece(of: name) { try give($0, as: dtype, on: backend, consume) }
      }
    }
    let turned: Shape = [shape[1], shape[0]]
    return FolderTensors(.init(name, dtype, turned)) { consume in
      let whole = try TransposedMatrix(shape, backend) { floats in
        var place = 0
        try forEachPiece(of: name) { piece in
          piece.withElements(Float.self) { values in
            for value in values {
              floats[place] = value
              place += 1
            }
          }
        }
      }
      let piece = backend.allocate(turned, .float32)
      piece.withMutableElements(Float.self) { whole.read(0..<shape.count, into: $0) }
      try give(piece, as: dtype, on: backend, consume)
    }
  }

  /// A merged linear as the backend holds it, rounded to `dtype` first.
  func prepared(
    _ name: String, _ storage: WeightStorage, _ dtype: DType
  ) throws -> any PreparedWeight {
    let shape = try shape(of: name)
    let builder = try backend.makeWeightBuilder(
      outFeatures: shape[0], inFeatures: shape[1], storage)
    do {
      try forEachPiece(of: name) { piece in
        try piece.withMutableElements(Float.self) { values in
          if dtype != .float32 {
            for index in values.indices { values[index] = dtype.rounded(values[index]) }
          }
          try builder.append(UnsafeBufferPointer(values))
        }
      }
      return try builder.finish()
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, "\"\(name)\": \(diagnostic.message)", remedy: diagnostic.remedy)
    }
  }
}
