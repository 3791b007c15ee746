// Whether a JSON value fits a key, and if not, why; it knows neither paths nor files.
import QLoRADiagnostics
import QLoRAJSON
import QLoRARegex

/// Why a value does not fit.
struct ValueProblem: Equatable {
  let code: DiagnosticCode
  /// Which element of the value it is, as `.1`; empty where it is the whole value.
  var place = ""
  /// Ends the sentence "adapter.rank …".
  let message: String
  var remedy: String?
}

extension FieldSchema {
  /// Why `value` does not fit, as the end of "… rank"; nil where it does.
  package func refusal(of value: JSONValue) -> String? { type.problem(with: value)?.message }
}

extension FieldType {
  /// The first reason why `value` does not fit; nil where it does.
  func problem(with value: JSONValue) -> ValueProblem? {
    switch self {
    case .boolean: value.boolValue == nil ? wrongType(value) : nil
    case .integer(let range): integerProblem(value, range) { _ in true }
    case .powerOfTwo(let range): integerProblem(value, range) { $0 & ($0 - 1) == 0 }
    case .number(let range):
      value.doubleValue.map { range.contains($0) ? nil : outOfRange(value) } ?? wrongType(value)
    case .text, .path:
      value.stringValue.map { Self.isPlain($0) ? nil : outOfRange(value) } ?? wrongType(value)
    case .fileName:
      value.stringValue.map { Self.isFileName($0) ? nil : outOfRange(value) } ?? wrongType(value)
    case .choice(let words): choiceProblem(value, words)
    case .list(let element): listProblem(value, element)
    case .optional(let type):
      value.isNull ? nil : type.problem(with: value).map { alternative($0, type, value) }
    case .textMap: textMapProblem(value)
    case .targets: targetsProblem(value)
    case .byteBudget: byteSizeProblem(value, orWord: ["none", "full", "host"])
    case .byteCount: byteSizeProblem(value, orWord: [])
    case .duration: durationProblem(value)
    case .section: value.objectMembers == nil ? wrongType(value) : nil
    case .sections: value.arrayValue == nil ? wrongType(value) : nil
    }
  }

  func wrongType(_ value: JSONValue) -> ValueProblem {
    ValueProblem(
      code: .recipeWrongType, message: "must be \(description), found \(Self.show(value))",
      remedy: nil)
  }

  /// The problem of the inner type, where its words must also mention null.
  private func alternative(
    _ problem: ValueProblem, _ type: FieldType, _ value: JSONValue
  ) -> ValueProblem {
    problem == type.wrongType(value) ? wrongType(value) : problem
  }

  private func outOfRange(_ value: JSONValue, remedy: String? = nil) -> ValueProblem {
    ValueProblem(
      code: .recipeOutOfRange, message: "must be \(description), found \(Self.show(value))",
      remedy: remedy)
  }

  private func integerProblem(
    _ value: JSONValue, _ range: ClosedRange<Int>, _ accepts: (Int) -> Bool
  ) -> ValueProblem? {
    guard case .number(let number) = value else { return wrongType(value) }
    guard let integer = value.wholeNumber else {
      // An integer too long for 64 bits has the right type and the wrong size.
      let isLong = number.text.utf8.allSatisfy { $0 == 45 || (48...57).contains($0) }
      return isLong ? outOfRange(value) : wrongType(value)
    }
    return range.contains(integer) && accepts(integer) ? nil : outOfRange(value)
  }

  private func choiceProblem(_ value: JSONValue, _ words: [String]) -> ValueProblem? {
    guard let word = value.stringValue else { return wrongType(value) }
    if words.contains(word) { return nil }
    let nearest = Nearness.nearest(to: word, among: words)
    return ValueProblem(
      code: .recipeUnknownChoice, message: "must be \(description), found \(Self.show(value))",
      remedy: nearest.map { "did you mean \"\($0)\"?" })
  }

  private func listProblem(_ value: JSONValue, _ element: FieldType) -> ValueProblem? {
    guard let values = value.arrayValue else { return wrongType(value) }
    for (index, item) in values.enumerated() {
      if let problem = element.problem(with: item) {
        return ValueProblem(
          code: problem.code, place: ".\(index)\(problem.place)", message: problem.message,
          remedy: problem.remedy)
      }
    }
    return nil
  }

  private func textMapProblem(_ value: JSONValue) -> ValueProblem? {
    guard let members = value.objectMembers, members.allSatisfy({ $0.value.stringValue != nil })
    else { return wrongType(value) }
    return nil
  }

  private func targetsProblem(_ value: JSONValue) -> ValueProblem? {
    guard let pattern = value.stringValue else {
      guard let names = value.arrayValue else { return wrongType(value) }
      return names.isEmpty ? outOfRange(value) : listProblem(value, .text)
    }
    if !Self.isPlain(pattern) { return outOfRange(value) }
    if pattern.hasPrefix("["), pattern.hasSuffix("]") {
      // As an expression it would be a single letter, which names no linear.
      return outOfRange(value, remedy: "a list is written [\"q_proj\", \"v_proj\"]")
    }
    if pattern != "all-linear",
      Nearness.distance(Nearness.plain(pattern), "alllinear") <= 1
    {
      return outOfRange(value, remedy: "did you mean \"all-linear\"?")
    }
    guard (try? RegularExpression(pattern)) != nil else {
      return ValueProblem(
        code: .recipeOutOfRange, message: "is not a regular expression: \(Self.show(value))",
        remedy: "a list of names, [\"q_proj\", \"v_proj\"], needs no expression")
    }
    return nil
  }

  private func byteSizeProblem(_ value: JSONValue, orWord words: [String]) -> ValueProblem? {
    if let bytes = value.wholeNumber { return bytes > 0 ? nil : outOfRange(value) }
    guard let text = value.stringValue else { return wrongType(value) }
    if words.contains(text) || ByteCount.parse(text) != nil { return nil }
    return outOfRange(value, remedy: "units are KiB, MiB, GiB, kB, MB and GB")
  }

  private func durationProblem(_ value: JSONValue) -> ValueProblem? {
    guard let text = value.stringValue else { return wrongType(value) }
    if Recipe.WallTime(text) != nil { return nil }
    return outOfRange(value, remedy: "units are d, h, m and s, in this order, each at most once")
  }

  private static func isPlain(_ text: String) -> Bool {
    !text.isEmpty && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
  }

  private static func isFileName(_ text: String) -> Bool {
    isPlain(text) && !text.contains("/") && text != "." && text != ".."
  }

  /// The value itself where it is short, else its kind.
  static func show(_ value: JSONValue) -> String {
    let longest = 60
    switch value {
    case .null: return "null"
    case .array, .object: return value.kindName
    case .bool, .number, .string:
      let text = JSONWriter.text(value)
      return text.count <= longest ? text : "\(value.kindName) of \(text.utf8.count) bytes"
    }
  }
}
