// How linears are quantized, with the names of a recipe: beside adapters and in the cache.

import QLoRAJSON
import QLoRATensor

extension WeightQuantization {
  private static let int8Word = "int8"

  var json: JSONValue {
    switch self {
    case .fourBit(let spec):
      .dictionary([
        ("type", .string(spec.type.rawValue)), ("blocksize", .int(spec.blockSize)),
        ("doubleQuant", .bool(spec.doubleQuantized)),
      ])
    case .int8(let spec):
      .dictionary([
        ("type", .string(Self.int8Word)), ("threshold", .double(Double(spec.threshold))),
      ])
    }
  }

  /// nil where a member is missing.
  init?(json: JSONValue) {
    if json["type"]?.stringValue == Self.int8Word {
      guard let threshold = json["threshold"]?.doubleValue else { return nil }
      self = .int8(Int8Spec(threshold: Float(threshold)))
      return
    }
    guard let type = json["type"]?.stringValue.flatMap({ FourBitType(rawValue: $0) }),
      let blockSize = json["blocksize"]?.intValue, let doubled = json["doubleQuant"]?.boolValue
    else { return nil }
    self = .fourBit(QuantizationSpec(type: type, blockSize: blockSize, doubleQuantized: doubled))
  }

  /// The type that a user's word stands for, with its defaults; nil for `none`.
  package init?(word: String) {
    if word == Self.int8Word {
      self = .int8(Int8Spec())
    } else if let type = FourBitType(rawValue: word) {
      self = .fourBit(QuantizationSpec(type: type))
    } else {
      return nil
    }
  }

  /// `nf4`, `fp4` or `int8`.
  var word: String {
    switch self {
    case .fourBit(let spec): spec.type.rawValue
    case .int8: Self.int8Word
    }
  }

  /// As a model card says it.
  var description: String {
    switch self {
    case .fourBit(let spec):
      "\(spec.type.rawValue), blocks of \(spec.blockSize)"
        + (spec.doubleQuantized ? ", double quantization" : "")
    case .int8(let spec): "int8, threshold \(spec.threshold)"
    }
  }
}
