// Reads the configuration of a model folder, config.json, in the spellings of transformers 4 and 5.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

extension ModelConfig {
  /// Configurations are a few thousand bytes; a megabyte is something else.
  static let maximumFileBytes = 1 << 20

  /// - Throws: `configMissing`, or what is wrong with a value, by file and key.
  package init(configPath path: String) throws(Diagnostic) {
    try self.init(json: try Self.json(configPath: path), path: path)
  }

  /// The config.json of a model of any architecture.
  ///
  /// - Throws: `configMissing`, `configInvalid`.
  package static func json(configPath path: String) throws(Diagnostic) -> JSONValue {
    guard
      let file = try InputFile.openIfPresent(
        FilePath.lastComponent(of: path), in: FilePath.parent(of: path))
    else {
      throw Diagnostic(
        .configMissing, "the model's config.json is not there", at: .file(path),
        remedy: "download it into the same folder as the weights")
    }
    let root = try JSONValue.read(file, limit: maximumFileBytes, code: .configInvalid)
    guard root.objectMembers != nil else {
      throw Diagnostic(.configInvalid, "expected an object", at: .file(path))
    }
    return root
  }

  /// - Throws: `quantizationUnsupported` for weights that are quantized by another method than
  ///   bitsandbytes, as config.json says of a model of any architecture.
  package static func checkQuantization(_ json: JSONValue, path: String) throws(Diagnostic) {
    try ConfigReader(json: json, path: path).checkQuantization()
  }

  package init(json: JSONValue, path: String) throws(Diagnostic) {
    let reader = ConfigReader(json: json, path: path)
    try reader.checkArchitecture()
    try reader.checkQuantization()
    let heads = try reader.int("num_attention_heads")
    let hidden = try reader.int("hidden_size")
    let maxPositions = try reader.int("max_position_embeddings", default: 2048)
    self.init(
      vocabularySize: try reader.int("vocab_size"),
      hidden: hidden,
      intermediate: try reader.int("intermediate_size"),
      layers: try reader.int("num_hidden_layers"),
      heads: heads,
      kvHeads: try reader.int("num_key_value_heads", default: heads),
      headDim: try reader.int("head_dim", default: heads > 0 ? hidden / heads : 0),
      normEpsilon: Float(try reader.double("rms_norm_eps", default: 1e-6)),
      rope: try reader.rope(maxPositions: maxPositions),
      maxPositions: maxPositions,
      tiesEmbeddings: try reader.bool("tie_word_embeddings", default: false),
      attentionBias: try reader.bool("attention_bias", default: false),
      mlpBias: try reader.bool("mlp_bias", default: false),
      bosTokens: try reader.tokens("bos_token_id"),
      eosTokens: try reader.tokens("eos_token_id"),
      dtype: reader.dtype())
    try check(at: .file(path))
  }
}

/// Typed access to members of config.json.
private struct ConfigReader {
  let json: JSONValue
  let path: String

  func failure(_ code: DiagnosticCode, _ message: String, key: String) -> Diagnostic {
    guard let member = json.objectMembers?.first(where: { $0.key == key }) else {
      return Diagnostic(code, message, at: .file(path))
    }
    let place = member.position
    return Diagnostic(
      code, message, at: .position(file: path, line: place.line, column: place.column))
  }

  /// A member that is there and not null.
  func value(_ key: String, in object: JSONValue? = nil) -> JSONValue? {
    guard let value = (object ?? json)[key], !value.isNull else { return nil }
    return value
  }

  private func wrong(_ key: String, _ expected: String, _ found: JSONValue?) -> Diagnostic {
    failure(
      .configInvalid, "\"\(key)\" must be \(expected), found \(found?.kindName ?? "nothing")",
      key: key)
  }

  func int(_ key: String, default fallback: Int? = nil) throws(Diagnostic) -> Int {
    guard let found = value(key) else {
      guard let fallback else { throw wrong(key, "an integer", nil) }
      return fallback
    }
    guard let integer = found.intValue else { throw wrong(key, "an integer", found) }
    return integer
  }

  func double(
    _ key: String, in object: JSONValue? = nil, default fallback: Double? = nil
  ) throws(Diagnostic) -> Double {
    guard let found = value(key, in: object) else {
      guard let fallback else { throw wrong(key, "a number", nil) }
      return fallback
    }
    guard let number = found.doubleValue, number.isFinite else {
      throw wrong(key, "a number", found)
    }
    return number
  }

  func bool(_ key: String, default fallback: Bool) throws(Diagnostic) -> Bool {
    guard let found = value(key) else { return fallback }
    guard let flag = found.boolValue else { throw wrong(key, "true or false", found) }
    return flag
  }

  /// One token or a list of them.
  func tokens(_ key: String) throws(Diagnostic) -> [Int] {
    guard let found = value(key) else { return [] }
    let values = found.arrayValue ?? [found]
    let tokens = values.compactMap(\.intValue)
    guard tokens.count == values.count, tokens.allSatisfy({ $0 >= 0 }) else {
      throw wrong(key, "a token number or a list of them", found)
    }
    return tokens
  }

  func dtype() -> DType? {
    (value("dtype") ?? value("torch_dtype"))?.stringValue.flatMap(DType.init(rawValue:))
  }

  func checkArchitecture() throws(Diagnostic) {
    let type = value("model_type")?.stringValue
    guard type == "llama" else {
      throw failure(
        .architectureUnsupported,
        "model_type \(type.map { "\"\($0)\"" } ?? "is missing"); only \"llama\" is supported",
        key: "model_type")
    }
    let activation = value("hidden_act")?.stringValue ?? "silu"
    guard activation == "silu" || activation == "swish" else {
      throw failure(
        .architectureUnsupported, "hidden_act \"\(activation)\"; only \"silu\" is supported",
        key: "hidden_act")
    }
  }

  func checkQuantization() throws(Diagnostic) {
    let key = "quantization_config"
    guard let settings = value(key) else { return }
    let method = value("quant_method", in: settings)?.stringValue
    let words = ["load_in_4bit", "load_in_8bit"]
    guard method == "bitsandbytes"
      || method == nil && words.contains(where: { value($0, in: settings) != nil })
    else {
      throw failure(
        .quantizationUnsupported,
        "the weights are quantized by \(method.map { "\"\($0)\"" } ?? "an unnamed method"); "
          + "expected none or bitsandbytes", key: key)
    }
    guard value("llm_int8_has_fp16_weight", in: settings)?.boolValue != true else {
      throw failure(
        .quantizationUnsupported,
        "llm_int8_has_fp16_weight keeps 16-bit weights and quantizes them in every forward pass, "
          + "which is not done here", key: key)
    }
  }

  /// Base and scaling, from `rope_parameters` (transformers 5) or from the top level with
  /// `rope_scaling` (4).
  func rope(maxPositions: Int) throws(Diagnostic) -> RopeParameters {
    let key = value("rope_parameters") == nil ? "rope_scaling" : "rope_parameters"
    let settings = value(key)
    if let settings, settings.objectMembers == nil { throw wrong(key, "an object", settings) }
    let usualTheta = 10_000.0
    let outer = try double("rope_theta", default: usualTheta)
    let theta =
      try settings.map { object throws(Diagnostic) in
        try double("rope_theta", in: object, default: outer)
      } ?? outer
    guard let settings else { return RopeParameters(theta: theta) }
    let kind = (value("rope_type", in: settings) ?? value("type", in: settings))?.stringValue
    switch kind ?? "default" {
    case "default": return RopeParameters(theta: theta)
    case "linear":
      return RopeParameters(
        theta: theta, scaling: .linear(factor: try positive("factor", settings)))
    case "llama3":
      let original = value("original_max_position_embeddings", in: settings)?.intValue
      return RopeParameters(
        theta: theta,
        scaling: .llama3(
          factor: try positive("factor", settings),
          lowFrequencyFactor: try positive("low_freq_factor", settings),
          highFrequencyFactor: try positive("high_freq_factor", settings),
          originalMaxPositions: original ?? maxPositions))
    case let other:
      throw failure(
        .ropeUnsupported, "rotary scaling \"\(other)\"; known are default, linear and llama3",
        key: key)
    }
  }

  private func positive(_ key: String, _ object: JSONValue) throws(Diagnostic) -> Double {
    let number = try double(key, in: object)
    guard number > 0 else { throw wrong(key, "a positive number", value(key, in: object)) }
    return number
  }
}
