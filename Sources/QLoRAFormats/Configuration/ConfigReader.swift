// Typed access to members of config.json, with the place of what is wrong.
import QLoRADiagnostics
import QLoRAJSON
import QLoRATensor

/// Typed access to members of config.json.
struct ConfigReader {
  let json: JSONValue
  let path: String

  func failure(
    _ code: DiagnosticCode, _ message: String, key: String, remedy: String? = nil
  ) -> Diagnostic {
    guard let member = json.objectMembers?.first(where: { $0.key == key }) else {
      return Diagnostic(code, message, at: .file(path), remedy: remedy)
    }
    let place = member.position
    return Diagnostic(
      code, message, at: .position(file: path, line: place.line, column: place.column),
      remedy: remedy)
  }

  /// A member that is there and not null.
  func value(_ key: String, in object: JSONValue? = nil) -> JSONValue? {
    guard let value = (object ?? json)[key], !value.isNull else { return nil }
    return value
  }

  func wrong(_ key: String, _ expected: String, _ found: JSONValue?) -> Diagnostic {
    failure(
      .configInvalid, "\"\(key)\" must be \(expected), found \(found?.kindName ?? "nothing")",
      key: key)
  }

  func positive(_ key: String, _ object: JSONValue) throws(Diagnostic) -> Double {
    let number = try double(key, in: object)
    guard number > 0 else { throw wrong(key, "a positive number", value(key, in: object)) }
    return number
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

  /// Those of `other` where there are none here.
  func tokens(_ key: String, or other: ConfigReader) throws(Diagnostic) -> [Int] {
    let own = try tokens(key)
    return own.isEmpty ? try other.tokens(key) : own
  }

  func string(_ key: String) throws(Diagnostic) -> String? {
    guard let found = value(key) else { return nil }
    guard let text = found.stringValue else { throw wrong(key, "a string", found) }
    return text
  }

  func float(_ key: String, default fallback: Double) throws(Diagnostic) -> Float {
    Float(try double(key, default: fallback))
  }

  /// One entry for each layer; nil where there is no list.
  func list(_ key: String, count: Int) throws(Diagnostic) -> [JSONValue]? {
    guard let found = value(key) else { return nil }
    guard let values = found.arrayValue, values.count == count else {
      throw wrong(key, "a list of \(count)", found)
    }
    return values
  }

  func dtype() -> DType? {
    (value("dtype") ?? value("torch_dtype"))?.stringValue.flatMap(DType.init(rawValue:))
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
}
