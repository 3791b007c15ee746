// JSON text from values: compact lines, indented files, and the spelling that Python's json.dumps
// gives, which other tools' files are compared with byte for byte.

public enum JSONWriter {
  /// How members and elements are separated.
  public enum Style: Sendable {
    /// `{"a":1}`: one line of a log.
    case compact
    /// `{"a": 1}`: as Python's `json.dumps` with default separators.
    case spaced
    /// Two spaces a level, as Python's `indent=2`.
    case indented
  }

  public static func text(
    _ value: JSONValue, style: Style = .compact, escapesNonASCII: Bool = false
  ) -> String {
    var output = ""
    write(value, style, escapesNonASCII, level: 0, into: &output)
    return output
  }

  /// The shortest decimal that reads back to the same double, spelled as Python's `repr`
  /// (`1e-05`, `0.001`, `3.0`); not-a-number and infinities, which JSON lacks, become null.
  public static func spell(_ value: Double) -> String {
    guard value.isFinite else { return "null" }
    let text = "\(value)"
    guard let mark = text.firstIndex(of: "e") else { return text }
    let mantissa = text[..<mark].hasSuffix(".0") ? text[..<mark].dropLast(2) : text[..<mark]
    let exponent = Int(text[text.index(after: mark)...]) ?? 0
    // Both write exponents below 1e-4, but Swift does so from 2^53 on and Python from 1e16 on.
    if exponent == 15 { return pointAfter16Digits(mantissa) }
    let digits = exponent.magnitude < 10 ? "0\(exponent.magnitude)" : "\(exponent.magnitude)"
    return "\(mantissa)e\(exponent < 0 ? "-" : "+")\(digits)"
  }

  /// A mantissa times 10^15 without an exponent; such doubles are whole numbers.
  private static func pointAfter16Digits(_ mantissa: Substring) -> String {
    let sign = mantissa.hasPrefix("-") ? "-" : ""
    let digits = mantissa.filter { $0 != "-" && $0 != "." }
    return sign + digits + String(repeating: "0", count: max(0, 16 - digits.count)) + ".0"
  }

  public static func quote(_ text: String, escapesNonASCII: Bool = false) -> String {
    var output = "\""
    for scalar in text.unicodeScalars { escape(scalar, escapesNonASCII, into: &output) }
    return output + "\""
  }

  private static func escape(
    _ scalar: Unicode.Scalar, _ escapesNonASCII: Bool, into output: inout String
  ) {
    switch scalar {
    case "\"": output += "\\\""
    case "\\": output += "\\\\"
    case "\n": output += "\\n"
    case "\r": output += "\\r"
    case "\t": output += "\\t"
    case "\u{8}": output += "\\b"
    case "\u{C}": output += "\\f"
    case _ where scalar.value < 0x20 || (escapesNonASCII && scalar.value >= 0x7F):
      for unit in String(scalar).utf16 {
        let digits = String(unit, radix: 16)
        output += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      }
    default: output.unicodeScalars.append(scalar)
    }
  }

  private static func write(
    _ value: JSONValue, _ style: Style, _ escapes: Bool, level: Int, into output: inout String
  ) {
    switch value {
    case .null: output += "null"
    case .bool(let flag): output += flag ? "true" : "false"
    case .number(let number): output += number.text
    case .string(let text): output += quote(text, escapesNonASCII: escapes)
    case .array(let elements):
      bracket("[", "]", elements, style, level, into: &output) { element, output in
        write(element.value, style, escapes, level: level + 1, into: &output)
      }
    case .object(let members):
      bracket("{", "}", members, style, level, into: &output) { member, output in
        output += quote(member.key, escapesNonASCII: escapes) + (style == .compact ? ":" : ": ")
        write(member.value, style, escapes, level: level + 1, into: &output)
      }
    }
  }

  private static func bracket<Item>(
    _ open: String, _ close: String, _ items: [Item], _ style: Style, _ level: Int,
    into output: inout String, _ writeItem: (Item, inout String) -> Void
  ) {
    output += open
    for (index, item) in items.enumerated() {
      if index > 0 { output += style == .spaced ? ", " : "," }
      if style == .indented {
        output += "\n" + String(repeating: "  ", count: level + 1)
      }
      writeItem(item, &output)
    }
    if style == .indented, !items.isEmpty {
      output += "\n" + String(repeating: "  ", count: level)
    }
    output += close
  }
}
