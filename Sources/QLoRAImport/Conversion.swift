// How a value of another tool becomes one of ours.
import QLoRAJSON

enum Conversion {
  case same(JSONValue)
  case changed(JSONValue, String)
  case left(String)

  /// As it is, where the recipe's own check accepts it.
  static func plain(_ value: JSONValue) -> Conversion { .same(value) }

  /// A number, which some files hold as a string.
  static func number(_ value: JSONValue) -> Conversion {
    if value.doubleValue != nil { return .same(value) }
    guard let text = value.stringValue, let number = Double(text), number.isFinite else {
      return .left("it is no number")
    }
    return .same(.double(number))
  }

  /// An integer, which some files hold as 3.0.
  static func integer(_ value: JSONValue) -> Conversion {
    if value.intValue != nil { return .same(value) }
    guard let number = value.doubleValue, number.magnitude < 1e15 else {
      return .left("it is no number")
    }
    let rounded = Int(number.rounded(.up))
    return Double(rounded) == number
      ? .same(.int(rounded)) : .changed(.int(rounded), "whole numbers only, so it is rounded up")
  }

  /// Steps between events: a part of the run, as transformers takes it, is not a count.
  static func interval(_ value: JSONValue) -> Conversion {
    guard let number = value.doubleValue, number >= 1 else {
      return .left("a part of all steps; here it is a count of steps")
    }
    return integer(value)
  }

  static func optimizer(_ word: String, _ ours: String?) -> Conversion {
    guard let ours else { return .changed("adamw", "there is no \(word) here; AdamW is nearest") }
    return .same(.string(ours))
  }

  static func schedule(_ value: JSONValue) -> Conversion {
    let word = (value.stringValue ?? "").lowercased()
    switch word {
    case "cosine", "linear", "constant": return .same(.string(word))
    case "constant_with_warmup":
      return .changed("constant", "every schedule here has a warm-up of warmupSteps")
    default: return .changed("cosine", "there is no \(word) here")
    }
  }

  /// Whether activations are computed twice.
  static func recomputation(_ value: JSONValue) -> Conversion {
    switch value {
    case .bool(let flag): .same(.string(flag ? "full" : "none"))
    case .string("offload"), .string("offload_disk"):
      .changed("full", "activations are recomputed, not moved")
    default: .left("it is neither true nor false")
    }
  }
}
