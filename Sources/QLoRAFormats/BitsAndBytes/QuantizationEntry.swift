// The `quantization_config` of a config.json against the tensors beside it. The tensors decide what
// is quantized; an entry that says something else means that files of two models were mixed.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

package enum QuantizationEntry {
  package static let key = "quantization_config"

  /// - Throws: `quantizationUnsupported` for another method, `quantizationContradiction` naming the
  ///   first tensor that is not as the entry says.
  package static func check(
    _ config: JSONValue, path: String, _ weights: SafetensorsWeightSource
  ) throws {
    guard let settings = config[key], !settings.isNull else { return }
    try ModelConfig.checkQuantization(config, path: path)
    func contradiction(_ name: String, _ message: String) throws -> Diagnostic {
      Diagnostic(
        .quantizationContradiction, message,
        at: .tensor(file: try weights.files.file(of: name).path, name: name),
        remedy: "get config.json and the weights from the same model")
    }
    let quantized = weights.names.filter { weights.fourBitSpec($0) != nil }
    if quantized.isEmpty,
      let plain = try weights.names.first(where: { try weights.shape(of: $0).rank == 2 })
    {
      throw try contradiction(plain, "config.json says 4 bits, but no weight has a quant_state")
    }
    let type = settings["bnb_4bit_quant_type"]?.stringValue
    let nested = settings["bnb_4bit_use_double_quant"]?.boolValue
    let skipped = Set(
      settings["llm_int8_skip_modules"]?.arrayValue?.compactMap(\.stringValue) ?? [])
    for name in quantized {
      guard let spec = weights.fourBitSpec(name) else { continue }
      if settings["load_in_4bit"]?.boolValue == false {
        throw try contradiction(name, "the weight is in 4 bits, config.json denies load_in_4bit")
      }
      if let type, type != spec.type.rawValue {
        throw try contradiction(
          name, "the weight is in \(spec.type.rawValue), config.json says \"\(type)\"")
      }
      if let nested, nested != spec.doubleQuantized {
        throw try contradiction(
          name, "double quantization is \(spec.doubleQuantized), config.json says \(nested)")
      }
      if skipped.contains(String(name.dropLast(".weight".count))) {
        throw try contradiction(name, "the weight is in 4 bits, config.json lists it as skipped")
      }
    }
  }
}
