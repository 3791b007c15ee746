// A model quantized to 4 bits, as the folder that bitsandbytes loads. One weight is in memory at a
// time: how long a weight's state is shows only after it was quantized, so the tensors of all
// linears wait in a file of their own until the weight files' headers can be written.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAModels
import QLoRASystem
import QLoRATensor

struct QuantizedFolder {
  let model: ForeignModel
  let options: QuantizationOptions
  let backend: any Backend
  /// Called after each linear with the fraction of linears done.
  let progress: (Double) -> Void

  private typealias Named = (name: String, shape: Shape)

  /// - Throws: `alreadyQuantized`, `architectureUnsupported`, `badModulePattern` or
  ///   `nothingToQuantize` before anything is written; for a NaN or an infinity
  ///   without leaving anything.
  func write(to output: String) throws {
    let (linears, kept, skipped) = try choose()
    let writer = FolderWriter(
      stem: model.stem, shardBytes: options.shardBytes,
      companions: try FolderCompanions(
        origin: model.origin, config: model.config, dtype: options.dtype,
        quantization: BNB4Bit.quantizationConfig(
          options.spec, computeDType: options.computeDType, skippedModules: skipped)
      ).files())
    let supply = TensorSupply(weights: model.weights, backend: backend, dtype: options.dtype)
    let plain = try kept.map { [try supply.plain($0.name)] }
    let spool = try AtomicDirectory(
      FilePath.lastComponent(of: output) + "-parts", in: FilePath.parent(of: output),
      expectedByteCount: linears.reduce(0) { $0 + $1.shape.count / 2 })
    defer { spool.discard() }
    try writer.write(plain + (try quantize(linears, into: spool)), to: output)
  }

  // MARK: Which

  private func choose() throws -> (linears: [Named], kept: [Named], skipped: [String]?) {
    if let type = model.modelType, LinearModules.transposedTypes.contains(type) {
      throw Diagnostic(
        .architectureUnsupported,
        "models of type \"\(type)\" keep the weights of linears transposed; they are not quantized",
        at: .file(model.path))
    }
    let weights = model.weights
    let choice = try LinearModules(
      modelType: model.modelType, isDiffusers: model.isDiffusers, names: weights.names,
      skip: options.skip)
    var (linears, kept): ([Named], [Named]) = ([], [])
    for name in weights.names {
      let tensor = (name, try weights.shape(of: name))
      guard try weights.quantizedMatrix(name) == nil else {
        throw Diagnostic(
          .alreadyQuantized, "the weight is in 4 bits already", at: model.place(name),
          remedy: "qlora dequantize the folder first, or take the unquantized model")
      }
      guard choice.isQuantized(name, tensor.1) else {
        kept.append(tensor)
        continue
      }
      let dtype = try weights.dtype(of: name)
      guard dtype.isFloatingPoint else {
        throw Diagnostic(
          .alreadyQuantized, "expected floating point values, found \(dtype.rawValue)",
          at: model.place(name), remedy: "take the unquantized model")
      }
      linears.append(tensor)
    }
    guard !linears.isEmpty else {
      throw Diagnostic(
        .nothingToQuantize, "none of \(kept.count) tensors is the weight of a linear to quantize",
        at: .file(model.path), remedy: "check --skip")
    }
    return (linears, kept, choice.skippedModules(kept))
  }

  // MARK: Quantizing

  /// Each linear's tensors, to be read from the spool.
  private func quantize(
    _ linears: [Named], into spool: AtomicDirectory
  ) throws -> [[FolderTensor]] {
    typealias Part = (declaration: SafetensorsWriter.Declaration, range: Range<Int>)
    var groups: [[Part]] = []
    var path = ""
    try spool.write("tensors") { sink in
      path = sink.path
      for linear in linears {
        let matrix = try quantized(linear)
        groups.append(
          try BNB4Bit.tensors(linear.name, matrix).map { name, tensor in
            let start = sink.byteCount
            try tensor.withBytes { try sink.write($0) }
            return (.init(name, tensor.dtype, tensor.shape), start..<sink.byteCount)
          })
        progress(Double(groups.count) / Double(linears.count))
      }
    }
    let file = try InputFile(path: path)
    return groups.map { group in
      group.map { part in
        FolderTensor(declaration: part.declaration) { consume in
          try file.forEachPiece(from: part.range.lowerBound, count: part.range.count) { piece, _ in
            try consume(piece)
          }
        }
      }
    }
  }

  private func quantized(_ linear: Named) throws -> QuantizedMatrix {
    let (name, shape) = linear
    let own = try model.weights.dtype(of: name)
    // A state knows no wider type than float32.
    let dtype = options.dtype ?? (own == .float64 ? .float32 : own)
    do {
      let builder = try backend.makeWeightBuilder(
        outFeatures: shape[0], inFeatures: shape[1], .fourBit(options.spec))
      try builder.fill { range, floats in
        try model.weights.readFloats(name, range: range, into: floats)
        guard dtype != own, dtype != .float32 else { return }
        for index in floats.indices { floats[index] = dtype.rounded(floats[index]) }
      }
      let weight = try builder.finish()
      guard let matrix = backend.quantizedMatrix(weight, sourceDType: dtype) else {
        throw Diagnostic(.nothingToQuantize, "the backend made no 4-bit weight of it")
      }
      return matrix
    } catch let diagnostic as Diagnostic where diagnostic.location == nil {
      throw Diagnostic(
        diagnostic.code, diagnostic.message, at: model.place(name), remedy: diagnostic.remedy)
    }
  }
}
