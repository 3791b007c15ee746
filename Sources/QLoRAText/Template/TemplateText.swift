// How values are spelled: as `{{ }}` prints them, as Python's repr inside lists, and as JSON.
import QLoRAJSON

extension TemplateValue {
  /// The value of a JSON text, all of it tagged with one origin.
  init(json: JSONValue, origin: TextOrigin) {
    switch json {
    case .null: self.init(.none, origin)
    case .bool(let value): self.init(Payload.bool(value), origin)
    case .number(let number):
      self.init(number.integer.map(Payload.int) ?? .float(number.double), origin)
    case .string(let text): self.init(.string(TaggedText(text, origin)), origin)
    case .array(let elements):
      let values = elements.map { TemplateValue(json: $0.value, origin: origin) }
      self.init(.list(ValueList(values)), origin)
    case .object(let members):
      let entries = members.map { member in
        (key: TemplateValue(.string(TaggedText(member.key, origin)), origin),
          value: TemplateValue(json: member.value, origin: origin))
      }
      self.init(.dictionary(ValueDictionary(distinct: entries)), origin)
    }
  }

  /// What `{{ value }}` prints.
  func text() -> TaggedText {
    switch payload {
    case .undefined: return TaggedText()
    case .string(let text): return text
    case .none: return TaggedText("None", origin)
    case .bool(let value): return TaggedText(value ? "True" : "False", origin)
    case .int(let value): return TaggedText(String(value), origin)
    case .float(let value): return TaggedText(Self.spell(value), origin)
    case .list, .dictionary: return representation()
    case .namespace: return TaggedText("<Namespace>", origin)
    case .loop: return TaggedText("<LoopContext>", origin)
    case .callable: return TaggedText("<function>", origin)
    }
  }

  private static func spell(_ value: Double) -> String {
    value.isFinite ? JSONWriter.spell(value) : value.isNaN ? "nan" : value < 0 ? "-inf" : "inf"
  }

  /// Python's `repr`.
  func representation() -> TaggedText {
    var result = TaggedText()
    switch payload {
    case .string(let text): return Self.quote(text, origin)
    case .list(let list):
      result.append(list.isTuple ? "(" : "[", origin)
      for (index, element) in list.elements.enumerated() {
        if index > 0 { result.append(", ", origin) }
        result.append(element.representation())
      }
      if list.isTuple, list.elements.count == 1 { result.append(",", origin) }
      result.append(list.isTuple ? ")" : "]", origin)
    case .dictionary(let dictionary):
      result.append("{", origin)
      for (index, entry) in dictionary.entries.enumerated() {
        if index > 0 { result.append(", ", origin) }
        result.append(entry.key.representation())
        result.append(": ", origin)
        result.append(entry.value.representation())
      }
      result.append("}", origin)
    case .undefined: return TaggedText("Undefined", origin)
    default: return text()
    }
    return result
  }

  private static func quote(_ text: TaggedText, _ origin: TextOrigin) -> TaggedText {
    let hasSingle = text.scalars.contains { $0.scalar == "'" }
    let hasDouble = text.scalars.contains { $0.scalar == "\"" }
    let mark: Unicode.Scalar = hasSingle && !hasDouble ? "\"" : "'"
    var result = TaggedText(String(mark), origin)
    result.append(text.mapScalars { scalar in escape(scalar, mark) })
    result.append(String(mark), origin)
    return result
  }

  private static func escape(_ scalar: Unicode.Scalar, _ mark: Unicode.Scalar) -> String {
    switch scalar {
    case "\\": return "\\\\"
    case "\n": return "\\n"
    case "\r": return "\\r"
    case "\t": return "\\t"
    case mark: return "\\\(mark)"
    case " ": return " "
    default: break
    }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator,
      .paragraphSeparator, .spaceSeparator:
      let digits = String(scalar.value, radix: 16)
      let (letter, width) =
        scalar.value <= 0xFF ? ("x", 2) : scalar.value <= 0xFFFF ? ("u", 4) : ("U", 8)
      return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    default: return String(scalar)
    }
  }
}

/// How `tojson` writes; the defaults are those of transformers.
struct TemplateJSONStyle {
  /// The text of one level of indentation; nil for one line.
  var indent: String?
  var itemSeparator = ", "
  var keySeparator = ": "
  var escapesNonASCII = false
  var sortsKeys = false

  /// The JSON text of a value, tagged as the value is; nil where it has none.
  func text(_ value: TemplateValue, level: Int = 0) -> TaggedText? {
    let origin = value.origin
    switch value.payload {
    case .none: return TaggedText("null", origin)
    case .bool(let flag): return TaggedText(flag ? "true" : "false", origin)
    case .int, .string, .float: return scalarText(value)
    case .list(let list) where !list.isGenerator:
      var items: [TaggedText] = []
      for element in list.elements {
        guard let item = text(element, level: level + 1) else { return nil }
        items.append(item)
      }
      return bracket("[", items, "]", origin, level)
    case .dictionary(let dictionary):
      var entries = dictionary.entries
      if sortsKeys { entries.sort { $0.key.text().isBefore($1.key.text()) } }
      var items: [TaggedText] = []
      for entry in entries {
        guard var item = keyText(entry.key), let inner = text(entry.value, level: level + 1)
        else { return nil }
        item.append(keySeparator, origin)
        item.append(inner)
        items.append(item)
      }
      return bracket("{", items, "}", origin, level)
    default: return nil
    }
  }

  private func scalarText(_ value: TemplateValue) -> TaggedText {
    switch value.payload {
    case .string(let text): return quote(text, value.origin)
    case .float(let number) where !number.isFinite:
      let text = number.isNaN ? "NaN" : number < 0 ? "-Infinity" : "Infinity"
      return TaggedText(text, value.origin)
    default: return value.text()
    }
  }

  /// Keys are strings; other scalars become their JSON text in quotes.
  private func keyText(_ key: TemplateValue) -> TaggedText? {
    switch key.payload {
    case .string(let text): quote(text, key.origin)
    case .none, .bool, .int, .float: text(key).map { quote($0, key.origin) }
    default: nil
    }
  }

  private func quote(_ text: TaggedText, _ origin: TextOrigin) -> TaggedText {
    var result = TaggedText("\"", origin)
    result.append(
      text.mapScalars { scalar in
        // The delete character stands as it is in both spellings of Python's.
        let escapes = escapesNonASCII && scalar.value != 0x7F
        return String(
          JSONWriter.quote(String(scalar), escapesNonASCII: escapes).dropFirst().dropLast())
      })
    result.append("\"", origin)
    return result
  }

  private func bracket(
    _ open: String, _ items: [TaggedText], _ close: String, _ origin: TextOrigin, _ level: Int
  ) -> TaggedText {
    var result = TaggedText(open, origin)
    if items.isEmpty {
      result.append(close, origin)
      return result
    }
    for (index, item) in items.enumerated() {
      if index > 0 { result.append(itemSeparator, origin) }
      if let indent { result.append("\n" + String(repeating: indent, count: level + 1), origin) }
      result.append(item)
    }
    if let indent { result.append("\n" + String(repeating: indent, count: level), origin) }
    result.append(close, origin)
    return result
  }
}
