// A quantized model, as the folder that bitsandbytes loads: which weights are quantized and which
// stay. One weight is in memory at a time.

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
      stem: model.stem, shardBytes: options.shardBytes, origin: model.path,
      companions: try FolderCompanions(
        origin: model.origin, config: model.config, dtype: options.dtype,
        quantization: QuantizationEntry.json(
          options.quantization, computeDType: options.computeDType, skippedModules: skipped)
      ).files())
    let supply = TensorSupply(model: model, backend: backend, dtype: options.dtype)
    let plain = try kept.map { try supply.plain($0.name) }
    var done = 0
    let quantized = try linears.map { name, shape in
      try QuantizedLinear(
        model: model, name: name, shape: shape, options: options, backend: backend
      ).tensors {
        done += 1
        progress(Double(done) / Double(linears.count))
      }
    }
    try writer.write(plain + quantized, to: output)
  }

  // MARK: Which

  private func choose() throws -> (linears: [Named], kept: [Named], skipped: [String]?) {
    if let type = model.modelType, LinearModules.foreignTypes.contains(type) {
      throw Diagnostic(
        .architectureUnsupported,
        "transformers quantizes none of the linears of models of type \"\(type)\"",
        at: .file(model.path))
    }
    let weights = model.weights
    let choice = try LinearModules(
      modelType: model.modelType, isDiffusers: model.isDiffusers, names: weights.names,
      skip: options.skip)
    var (linears, kept): ([Named], [Named]) = ([], [])
    for name in weights.names {
      let tensor = (name, try weights.shape(of: name))
      guard !weights.isQuantized(name) else {
        throw Diagnostic(
          .alreadyQuantized, "the weight is quantized already", at: model.place(name),
          remedy: "qlora dequantize the folder first, or take the unquantized model")
      }
      guard try choice.isQuantized(name, tensor.1) else {
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
}
