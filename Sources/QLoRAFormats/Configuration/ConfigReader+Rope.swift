// Rotary positions of config.json: base, scaling, and what of a head is rotated.
import QLoRADiagnostics
import QLoRAJSON

extension ConfigReader {
  private static let parametersKey = "rope_parameters"

  private var ropeKey: String {
    value(Self.parametersKey) == nil ? "rope_scaling" : Self.parametersKey
  }

  /// The settings of one kind of layers where the kinds have their own, as transformers 5 writes
  /// them.
  private func settings(layers kind: String) throws(Diagnostic) -> JSONValue? {
    guard let found = value(ropeKey) else { return nil }
    guard found.objectMembers != nil else { throw wrong(ropeKey, "an object", found) }
    return value(kind, in: found) ?? found
  }

  /// Base and scaling, from `rope_parameters` (transformers 5) or from the top level with
  /// `rope_scaling` (4).
  func rope(maxPositions: Int, usualTheta: Double) throws(Diagnostic) -> RopeParameters {
    let settings = try settings(layers: "full_attention")
    let outer = try double(
      "rope_theta", default: try double("rotary_emb_base", default: usualTheta))
    let theta =
      try settings.map { object throws(Diagnostic) in
        try double("rope_theta", in: object, default: outer)
      } ?? outer
    guard let settings else { return RopeParameters(theta: theta) }
    return RopeParameters(theta: theta, scaling: try scaling(settings, maxPositions))
  }

  /// Of the layers with a window, which some families rotate by a base of their own and unscaled.
  ///
  /// - Parameter theta: where the kinds of layers have no settings of their own.
  func windowedRope(otherwise theta: Double) throws(Diagnostic) -> RopeParameters {
    guard value(Self.parametersKey) != nil,
      let settings = value("sliding_attention", in: value(ropeKey))
    else { return RopeParameters(theta: theta) }
    let kind = value("rope_type", in: settings)?.stringValue ?? "default"
    guard kind == "default" else {
      throw failure(
        .ropeUnsupported, "rotary scaling \"\(kind)\" of layers with a window", key: ropeKey)
    }
    return RopeParameters(theta: try double("rope_theta", in: settings, default: theta))
  }

  /// The fraction of each head that is rotated.
  func rotaryFraction(default fallback: Double) throws(Diagnostic) -> Double {
    let key = "partial_rotary_factor"
    let outer = try double(key, default: try double("rotary_pct", default: fallback))
    guard let settings = value(Self.parametersKey), settings.objectMembers != nil else {
      return outer
    }
    return try double(key, in: settings, default: outer)
  }

  private func scaling(
    _ settings: JSONValue, _ maxPositions: Int
  ) throws(Diagnostic) -> RopeScaling {
    let kind = (value("rope_type", in: settings) ?? value("type", in: settings))?.stringValue
    let originalKey = "original_max_position_embeddings"
    let original =
      (value(originalKey, in: settings) ?? value(originalKey))?.intValue ?? maxPositions
    guard original > 0 else { throw wrong(originalKey, "a positive number", nil) }
    switch kind ?? "default" {
    case "default": return .none
    case "linear": return .linear(factor: try positive("factor", settings))
    case "dynamic":
      return .dynamic(factor: try positive("factor", settings), maxPositions: maxPositions)
    case "llama3":
      return .llama3(
        factor: try positive("factor", settings),
        lowFrequencyFactor: try positive("low_freq_factor", settings),
        highFrequencyFactor: try positive("high_freq_factor", settings),
        originalMaxPositions: original)
    case "yarn": return .yarn(try yarn(settings, original: original))
    case "longrope", "su": return try long(settings, original, maxPositions)
    case let other:
      throw failure(
        .ropeUnsupported,
        "rotary scaling \"\(other)\"; known are default, linear, dynamic, llama3, yarn and "
          + "longrope",
        key: ropeKey)
    }
  }

  private func yarn(_ settings: JSONValue, original: Int) throws(Diagnostic) -> YarnScaling {
    let factor = try positive("factor", settings)
    var magnitude: Double?
    if value("attention_factor", in: settings) != nil {
      magnitude = try positive("attention_factor", settings)
    } else if value("mscale", in: settings) != nil, value("mscale_all_dim", in: settings) != nil {
      let weights = try (
        double("mscale", in: settings), double("mscale_all_dim", in: settings)
      )
      if weights.0 != 0, weights.1 != 0 {
        magnitude =
          YarnScaling.magnitude(factor, weight: weights.0)
          / YarnScaling.magnitude(factor, weight: weights.1)
      }
    }
    return YarnScaling(
      factor: factor, fast: try double("beta_fast", in: settings, default: 32),
      slow: try double("beta_slow", in: settings, default: 1), originalMaxPositions: original,
      magnitude: magnitude,
      isTruncated: value("truncate", in: settings)?.boolValue ?? true)
  }

  private func long(
    _ settings: JSONValue, _ original: Int, _ maxPositions: Int
  ) throws(Diagnostic) -> RopeScaling {
    func factors(_ key: String) throws(Diagnostic) -> [Float] {
      let found = value(key, in: settings)
      let numbers = found?.arrayValue?.compactMap(\.doubleValue) ?? []
      guard numbers.count == found?.arrayValue?.count, numbers.allSatisfy({ $0 > 0 }) else {
        throw wrong(key, "a list of positive numbers", found)
      }
      return numbers.map { Float($0) }
    }
    let stretch = Double(maxPositions) / Double(original)
    let magnitude =
      value("attention_factor", in: settings) == nil
      ? RopeScaling.longMagnitude(
        try double("factor", in: settings, default: stretch), originalMaxPositions: original)
      : try positive("attention_factor", settings)
    return .long(
      short: try factors("short_factor"), long: try factors("long_factor"), magnitude: magnitude,
      originalMaxPositions: original)
  }
}
