// Models into the formats of bitsandbytes and back.

import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRAModels
import QLoRATensor

/// How a model is to be quantized.
package struct QuantizationOptions {
  package var quantization = WeightQuantization.fourBit(QuantizationSpec())
  /// Modules that stay as they are; see `ModulePatterns`.
  package var skip: [String] = []
  /// What config.json says the library is to compute in.
  package var computeDType = DType.float32
  /// The type of what stays unquantized, and of weights before they are quantized; nil: their own.
  package var dtype: DType?
  /// Bytes of tensors in a file.
  package var shardBytes = FolderWriter.shardBytes

  package init() {}
}

extension Pipeline {
  /// Writes `model` with its linears quantized, as a folder that transformers or diffusers loads.
  ///
  /// - Returns: what the user should know of the folder.
  /// - Throws: exit code 73 where `output` exists, 65 for a model that is not plain and whole.
  package static func quantize(
    model path: String, _ options: QuantizationOptions, to output: String,
    progress: @escaping (Double) -> Void = { _ in }
  ) throws -> [String] {
    try requireAbsent(output)
    let model = try ForeignModel.open(path)
    let folder = QuantizedFolder(
      model: model, options: options, backend: try Backends.make(),
      progress: progress)
    try folder.write(to: output)
    return try slips(options.skip, model) + FolderSizes(try ForeignModel.open(output)).warnings
  }

  private static func slips(_ skip: [String], _ model: ForeignModel) throws -> [String] {
    let modules = model.weights.names.map { name in
      name.hasSuffix(".weight") ? String(name.dropLast(".weight".count)) : name
    }
    return try ModulePatterns(skip).unmatched(among: modules).map {
      "--skip \"\($0)\" names no module of this model; give a whole name, its last part, or an "
        + "expression for whole names such as \".*\\.\($0)\""
    }
  }

  /// Writes `path` with every weight as plain numbers of type `dtype`.
  package static func dequantize(
    _ path: String, dtype: DType, to output: String, shardBytes: Int = FolderWriter.shardBytes
  ) throws {
    try requireAbsent(output)
    let model = try ForeignModel.open(path)
    let supply = TensorSupply(model: model, backend: try Backends.make(), dtype: dtype)
    let writer = FolderWriter(
      stem: model.stem, shardBytes: shardBytes, origin: model.path,
      companions: try FolderCompanions(
        origin: model.origin, config: model.config, dtype: dtype
      ).files())
    try writer.write(try model.weights.names.map { try supply.plain($0) }, to: output)
  }
}
