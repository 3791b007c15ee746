// Models into the formats of bitsandbytes and back, as `qlora quantize` and `dequantize` do it.
import QLoRAHub
import QLoRAPipeline
import QLoRATensor

/// The types that bitsandbytes has for frozen weights.
public enum Quantization: String, Sendable {
  /// 4 bits in blocks of 64 with double quantization.
  case nf4, fp4
  /// Rows of 8 bits; in evaluation outliers stay apart (LLM.int8).
  case int8
}

/// Folders of whole models.
public enum ModelFolder {
  /// Writes a model of any architecture with its linears quantized, as transformers or diffusers
  /// loads it.
  ///
  /// - Parameters:
  ///   - model: a folder with config.json and safetensors, a GGUF file, or `ORG/NAME` of the hub
  ///     that `qlora download` has fetched.
  ///   - output: a new folder, which appears complete or not at all.
  ///   - type: what the linears become.
  ///   - skip: modules that stay as they are: names, suffixes or regular expressions.
  /// - Returns: what the user should know of the folder.
  /// - Throws: a `Diagnostic` where the model is not plain and whole, or `output` exists.
  public static func quantize(
    _ model: String, to output: String, as type: Quantization = .nf4, skip: [String] = []
  ) throws -> [String] {
    var options = QuantizationOptions()
    if let quantization = WeightQuantization(word: type.rawValue) {
      options.quantization = quantization
    }
    options.skip = skip
    return try Pipeline.quantize(model: HubCache.place(of: model), options, to: output)
  }

  /// Writes a quantized folder as plain float32 again.
  ///
  /// - Parameters:
  ///   - model: a folder that bitsandbytes' types are in.
  ///   - output: a new folder, which appears complete or not at all.
  /// - Throws: as `quantize`.
  public static func dequantize(_ model: String, to output: String) throws {
    try Pipeline.dequantize(HubCache.place(of: model), dtype: .float32, to: output)
  }
}
