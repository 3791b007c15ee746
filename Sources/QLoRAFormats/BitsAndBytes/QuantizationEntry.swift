// The `quantization_config` of a config.json against the tensors beside it. The tensors decide what
// is quantized; an entry that says something else means that files of two models were mixed.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

package enum QuantizationEntry {
  package static let key = "quantization_config"

  /// The entry as transformers writes it.
  package static func json(
    _ quantization: WeightQuantization, computeDType: DType, skippedModules: [String]? = nil
  ) -> JSONValue {
    // What means nothing to 8 bits has the library's defaults there.
    var (spec, outliers) = (QuantizationSpec(type: .fp4, doubleQuantized: false), Int8Spec())
    var isFourBit = false
    switch quantization {
    case .fourBit(let chosen): (spec, isFourBit) = (chosen, true)
    case .int8(let chosen): outliers = chosen
    }
    return .dictionary([
      ("_load_in_4bit", .bool(isFourBit)),
      ("_load_in_8bit", .bool(!isFourBit)),
      ("bnb_4bit_compute_dtype", .string(computeDType.rawValue)),
      ("bnb_4bit_quant_storage", .string(DType.uint8.rawValue)),
      ("bnb_4bit_quant_type", .string(spec.type.rawValue)),
      ("bnb_4bit_use_double_quant", .bool(spec.doubleQuantized)),
      ("llm_int8_enable_fp32_cpu_offload", .bool(false)),
      ("llm_int8_has_fp16_weight", .bool(false)),
      ("llm_int8_skip_modules", skippedModules.map { .list($0.map { .string($0) }) } ?? .null),
      ("llm_int8_threshold", .double(Double(outliers.threshold))),
      ("load_in_4bit", .bool(isFourBit)),
      ("load_in_8bit", .bool(!isFourBit)),
      ("quant_method", .string("bitsandbytes")),
    ])
  }

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
    let quantized = weights.names.filter(weights.isQuantized)
    let saysEight = settings["load_in_8bit"]?.boolValue == true
    if quantized.isEmpty,
      let plain = try weights.names.first(where: { try weights.shape(of: $0).rank == 2 })
    {
      throw try contradiction(
        plain,
        saysEight
          ? "config.json says 8 bits, but no weight has an SCB"
          : "config.json says 4 bits, but no weight has a quant_state")
    }
    let type = settings["bnb_4bit_quant_type"]?.stringValue
    let nested = settings["bnb_4bit_use_double_quant"]?.boolValue
    let skipped = Set(
      settings["llm_int8_skip_modules"]?.arrayValue?.compactMap(\.stringValue) ?? [])
    for name in quantized {
      let bits = weights.isEightBit(name) ? 8 : 4
      if skipped.contains(String(name.dropLast(".weight".count))) {
        throw try contradiction(
          name, "the weight is in \(bits) bits, config.json lists it as skipped")
      }
      if saysEight != (bits == 8) {
        throw try contradiction(
          name, "the weight is in \(bits) bits, config.json says \(saysEight ? 8 : 4)")
      }
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
    }
  }

  /// The threshold of outliers that config.json sets for 8-bit weights, which counts for those of
  /// the same folder.
  /// - Throws: `quantizationUnsupported` for one that is no number of 0 or more.
  static func int8Spec(_ config: JSONValue, path: String) throws -> Int8Spec? {
    guard let settings = config[key], settings["load_in_8bit"]?.boolValue == true else {
      return nil
    }
    guard let value = settings["llm_int8_threshold"], !value.isNull else { return Int8Spec() }
    guard let threshold = value.doubleValue.map({ Float($0) }), threshold >= 0, threshold.isFinite
    else {
      throw Diagnostic(
        .quantizationUnsupported, "llm_int8_threshold must be a number of at least 0",
        at: .file(path))
    }
    return Int8Spec(threshold: threshold)
  }
}
