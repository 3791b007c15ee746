// Python's formatting by `%`, which templates write as an operator or as the filter `format`.
// Source: the Python library reference, "printf-style String Formatting".

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// One `%…` of a format.
private struct Conversion {
  var key: String?
  var flags: Set<Unicode.Scalar> = []
  var width = 0
  var precision: Int?
  var kind: Unicode.Scalar = "%"
}

/// The values that a format takes, one after the other or by name.
private struct FormatValues {
  let all: TemplateValue
  private let list: [TemplateValue]
  private var index = 0

  init(_ all: TemplateValue) {
    self.all = all
    if let tuple = all.listValue, tuple.isTuple { list = tuple.elements } else { list = [all] }
  }

  mutating func next() -> TemplateValue? {
    guard index < list.count else { return nil }
    index += 1
    return list[index - 1]
  }

  /// Whether all were taken; a mapping need not be, nor a list.
  var isDone: Bool {
    if all.dictionaryValue != nil { return true }
    if let list = all.listValue, !list.isTuple { return true }
    return index >= list.count
  }
}

extension TemplateRenderer {
  /// `format % values`; what is formatted keeps its origin.
  func formatted(
    _ format: TaggedText, _ values: TemplateValue, at offset: Int
  ) throws -> TaggedText {
    var result = TaggedText().marked(format.isMarkup)
    var values = FormatValues(values)
    var index = 0
    while index < format.count {
      let scalar = format.scalars[index]
      index += 1
      guard scalar.scalar == "%" else {
        result.append(format[index - 1..<index])
        continue
      }
      let conversion = try conversion(format, &index, &values, at: offset)
      if conversion.kind == "%" {
        result.append(format[index - 1..<index])
        continue
      }
      let value: TemplateValue?
      if let key = conversion.key {
        guard let mapping = values.all.dictionaryValue else {
          throw failure("a format with names needs a mapping", at: offset)
        }
        value = mapping.value(of: key)
      } else {
        value = values.next()
      }
      guard let value else { throw failure("a format lacks a value", at: offset) }
      let text = try text(of: value, by: conversion, isMarkup: format.isMarkup, at: offset)
      try charge(text.count, at: offset)
      result.append(text)
    }
    guard values.isDone else { throw failure("a format does not use all values", at: offset) }
    try charge(result.count, at: offset)
    return result
  }

  /// Reads what follows a `%`.
  private func conversion(
    _ format: TaggedText, _ index: inout Int, _ values: inout FormatValues, at offset: Int
  ) throws -> Conversion {
    var result = Conversion()
    func next() throws -> Unicode.Scalar {
      guard index < format.count else { throw failure("a format ends after \"%\"", at: offset) }
      index += 1
      return format.scalars[index - 1].scalar
    }
    func number(_ first: Unicode.Scalar) throws -> (Int, Unicode.Scalar) {
      var (number, scalar) = (0, first)
      if scalar == "*" {
        guard let given = values.next()?.intValue else {
          throw failure("\"*\" of a format needs an integer", at: offset)
        }
        number = min(max(given, -(1 << 30)), 1 << 30)
        scalar = try next()
      }
      while let digit = Int(String(scalar)), scalar.isASCII {
        number = min(number * 10 + digit, 1 << 30)
        scalar = try next()
      }
      return (number, scalar)
    }
    var scalar = try next()
    if scalar == "(" {
      var key = String.UnicodeScalarView()
      scalar = try next()
      while scalar != ")" {
        key.append(scalar)
        scalar = try next()
      }
      result.key = String(key)
      scalar = try next()
    }
    while "-+ 0#".unicodeScalars.contains(scalar) {
      result.flags.insert(scalar)
      scalar = try next()
    }
    (result.width, scalar) = try number(scalar)
    if result.width < 0 {
      result.flags.insert("-")
      result.width = min(-result.width, 1 << 30)
    }
    if scalar == "." {
      var precision: Int
      scalar = try next()
      (precision, scalar) = try number(scalar)
      precision = max(precision, 0)
      result.precision = precision
    }
    while "hlL".unicodeScalars.contains(scalar) { scalar = try next() }
    result.kind = scalar
    return result
  }

  private func text(
    of value: TemplateValue, by conversion: Conversion, isMarkup: Bool, at offset: Int
  ) throws -> TaggedText {
    var text: TaggedText
    var isNumber = true
    switch conversion.kind {
    case "s", "r", "a":
      isNumber = false
      text = try self.text(of: value, at: offset)
      if conversion.kind != "s" {
        try charge(value.weight, at: offset)
        text = value.representation()
      }
      if isMarkup { text = try escaped(text, at: offset) }
      if let precision = conversion.precision { text = text[0..<min(precision, text.count)] }
    case "d", "i", "u", "x", "X", "o":
      text = TaggedText(try whole(value, conversion, at: offset), value.origin)
    case "e", "E", "f", "F", "g", "G":
      text = TaggedText(try real(value, conversion, at: offset), value.origin)
    case "c":
      isNumber = false
      let scalar = value.intValue.flatMap { UInt32(exactly: $0) }.flatMap(Unicode.Scalar.init)
      if let scalar {
        text = TaggedText(String(scalar), value.origin)
      } else if let given = value.textValue, given.count == 1 {
        text = given
      } else {
        throw failure("%c needs a character, not \(value.kindName)", at: offset)
      }
    default: throw failure("a format with \"%\(conversion.kind)\"", at: offset)
    }
    return try padded(text, conversion, isNumber: isNumber, at: offset)
  }

  /// The sign, zeros up to the precision, and digits.
  private func whole(
    _ value: TemplateValue, _ conversion: Conversion, at offset: Int
  ) throws -> String {
    let isDecimal = "diu".unicodeScalars.contains(conversion.kind)
    var number = value.intValue
    if isDecimal, number == nil, case .float(let real) = value.payload {
      number = Int(exactly: real.rounded(.towardZero))
    }
    guard let number else {
      throw failure("%\(conversion.kind) needs a number, not \(value.kindName)", at: offset)
    }
    let radix = isDecimal ? 10 : conversion.kind == "o" ? 8 : 16
    var digits = String(number.magnitude, radix: radix, uppercase: conversion.kind == "X")
    let missing = (conversion.precision ?? 0) - digits.utf8.count
    if missing > 0 {
      try charge(missing, at: offset)
      digits = String(repeating: "0", count: missing) + digits
    }
    if conversion.flags.contains("#"), !isDecimal { digits = "0\(conversion.kind)" + digits }
    return sign(number < 0, conversion) + digits
  }

  private func real(
    _ value: TemplateValue, _ conversion: Conversion, at offset: Int
  ) throws -> String {
    guard let number = value.doubleValue else {
      throw failure("%\(conversion.kind) needs a number, not \(value.kindName)", at: offset)
    }
    let precision = conversion.precision ?? 6
    guard precision <= 1000 else { throw limitFailure("\(precision) digits", at: offset) }
    // The largest double has 309 digits before its point.
    var buffer = [CChar](repeating: 0, count: precision + 330)
    let mark = conversion.flags.contains("#") ? "#" : ""
    _ = withVaList([Int32(precision), abs(number)]) {
      vsnprintf(&buffer, buffer.count, "%\(mark).*\(conversion.kind)", $0)
    }
    let digits = String(
      decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return sign(number.sign == .minus && !number.isNaN, conversion) + digits
  }

  private func sign(_ isNegative: Bool, _ conversion: Conversion) -> String {
    isNegative ? "-" : conversion.flags.contains("+") ? "+"
      : conversion.flags.contains(" ") ? " " : ""
  }

  private func padded(
    _ text: TaggedText, _ conversion: Conversion, isNumber: Bool, at offset: Int
  ) throws -> TaggedText {
    let missing = conversion.width - text.count
    guard missing > 0 else { return text }
    try charge(missing, at: offset)
    if conversion.flags.contains("-") {
      return TaggedText(text.scalars + TaggedText(spaces(missing), .template).scalars)
    }
    guard isNumber, conversion.flags.contains("0") else {
      return TaggedText(TaggedText(spaces(missing), .template).scalars + text.scalars)
    }
    // Zeros stand behind the sign and behind what tells the base.
    var head = text.scalars.prefix { "+- ".unicodeScalars.contains($0.scalar) }.count
    if conversion.flags.contains("#"), "xXo".unicodeScalars.contains(conversion.kind) { head += 2 }
    let zeros = TaggedText(String(repeating: "0", count: missing), text.origin)
    return TaggedText(text.scalars[..<head] + zeros.scalars + text.scalars[head...])
  }

  private func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }
}
