// Arithmetic and comparison, as Python does them.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension TemplateRenderer {
  func binary(
    _ operation: String, _ left: TemplateValue, _ right: TemplateValue, at offset: Int
  ) throws -> TemplateValue {
    if operation == "%", let format = left.textValue {
      return .string(try formatted(format, right, at: offset))
    }
    for case .undefined(let what) in [left.payload, right.payload] {
      throw failure("\(what) is undefined, so \"\(operation)\" cannot use it", at: offset)
    }
    let origin = left.origin.joined(right.origin)
    if operation == "+" {
      switch (left.payload, right.payload) {
      case (.string(let one), .string(let other)):
        let isMarkup = one.isMarkup || other.isMarkup
        var text = isMarkup ? try escaped(one, at: offset) : one
        let more = isMarkup ? try escaped(other, at: offset) : other
        try charge(text.count + more.count, at: offset)
        text.append(more)
        return TemplateValue(.string(text), origin)
      case (.list(let one), .list(let other))
      where one.isTuple == other.isTuple && !one.isGenerator && !other.isGenerator:
        try step(one.elements.count + other.elements.count, at: offset)
        let list = ValueList(one.elements + other.elements, isTuple: one.isTuple)
        return TemplateValue(.list(list), origin)
      default: break
      }
    }
    if operation == "*", let repeated = try repeated(left, right, at: offset) { return repeated }
    if let one = left.intValue, let other = right.intValue, operation != "/" {
      return TemplateValue(try integer(operation, one, other, at: offset).payload, origin)
    }
    if let one = left.doubleValue, let other = right.doubleValue {
      return TemplateValue(.float(try float(operation, one, other, at: offset)), origin)
    }
    throw failure(
      "\"\(operation)\" cannot take \(left.kindName) and \(right.kindName)", at: offset)
  }

  private func repeated(
    _ left: TemplateValue, _ right: TemplateValue, at offset: Int
  ) throws -> TemplateValue? {
    let isLeftCount = left.intValue != nil
    guard let count = left.intValue ?? right.intValue else { return nil }
    let times = max(count, 0)
    let value = isLeftCount ? right : left
    switch value.payload {
    case .string(let text):
      let (total, overflow) = text.count.multipliedReportingOverflow(by: times)
      try charge(overflow ? source.limits.textWork + 1 : total, at: offset)
      let scalars = repeatElement(text.scalars, count: text.isEmpty ? 0 : times).joined()
      return TemplateValue(
        .string(TaggedText(scalars).marked(text.isMarkup)), value.origin)
    case .list(let list) where !list.isGenerator:
      let (total, overflow) = list.elements.count.multipliedReportingOverflow(by: times)
      try step(overflow || total > source.limits.steps ? source.limits.steps : total, at: offset)
      let elements = repeatElement(list.elements, count: list.elements.isEmpty ? 0 : times)
      return TemplateValue(
        .list(ValueList(Array(elements.joined()), isTuple: list.isTuple)), value.origin)
    default: return nil
    }
  }

  private func integer(
    _ operation: String, _ left: Int, _ right: Int, at offset: Int
  ) throws -> TemplateValue {
    let result: (partialValue: Int, overflow: Bool)
    switch operation {
    case "+": result = left.addingReportingOverflow(right)
    case "-": result = left.subtractingReportingOverflow(right)
    case "*": result = left.multipliedReportingOverflow(by: right)
    case "//", "%":
      guard right != 0 else { throw failure("division by zero", at: offset) }
      // Python rounds towards minus infinity and gives the remainder the divisor's sign.
      let (quotient, overflow) = left.dividedReportingOverflow(by: right)
      let remainder = right == -1 ? 0 : left % right
      let isShort = remainder != 0 && (remainder < 0) != (right < 0)
      result =
        operation == "%"
        ? (isShort ? remainder + right : remainder, false)
        : (isShort ? quotient - 1 : quotient, overflow)
    case "**":
      if right < 0 { return TemplateValue(.float(pow(Double(left), Double(right)))) }
      result = power(left, right)
    default: throw failure("\"\(operation)\" cannot take integers", at: offset)
    }
    guard !result.overflow else {
      throw limitFailure("an integer beyond 64 bits", at: offset)
    }
    return .int(result.partialValue)
  }

  private func power(_ base: Int, _ exponent: Int) -> (partialValue: Int, overflow: Bool) {
    if base == 0 || base == 1 { return (exponent == 0 ? 1 : base, false) }
    if base == -1 { return (exponent.isMultiple(of: 2) ? 1 : -1, false) }
    var result = (partialValue: 1, overflow: false)
    // Any other base overflows within 64 steps.
    for _ in 0..<min(exponent, 64) {
      result = result.partialValue.multipliedReportingOverflow(by: base)
      if result.overflow { return result }
    }
    return result
  }

  private func float(
    _ operation: String, _ left: Double, _ right: Double, at offset: Int
  ) throws -> Double {
    switch operation {
    case "+": return left + right
    case "-": return left - right
    case "*": return left * right
    case "**": return pow(left, right)
    case "/", "//", "%":
      guard right != 0 else { throw failure("division by zero", at: offset) }
      if operation == "/" { return left / right }
      let quotient = (left / right).rounded(.down)
      return operation == "//" ? quotient : left - quotient * right
    default: throw failure("\"\(operation)\" cannot take floats", at: offset)
    }
  }

  func compare(
    _ operation: String, _ left: TemplateValue, _ right: TemplateValue, at offset: Int
  ) throws -> Bool {
    switch operation {
    case "==": return try areEqual(left, right, at: offset)
    case "!=": return try !areEqual(left, right, at: offset)
    case "in": return try contains(right, left, at: offset)
    case "not in": return try !contains(right, left, at: offset)
    case "<": return try isBefore(left, right, at: offset)
    case ">": return try isBefore(right, left, at: offset)
    case "<=": return try areEqual(left, right, at: offset) || isBefore(left, right, at: offset)
    default: return try areEqual(left, right, at: offset) || isBefore(right, left, at: offset)
    }
  }

  func isBefore(_ left: TemplateValue, _ right: TemplateValue, at offset: Int) throws -> Bool {
    try step(min(left.weight, right.weight) / 4, at: offset)
    if let one = left.intValue, let other = right.intValue { return one < other }
    if let one = left.doubleValue, let other = right.doubleValue { return one < other }
    switch (left.payload, right.payload) {
    case (.string(let one), .string(let other)): return one.isBefore(other)
    case (.list(let one), .list(let other)):
      for (first, second) in zip(one.elements, other.elements) where !first.isEqual(to: second) {
        return try isBefore(first, second, at: offset)
      }
      return one.elements.count < other.elements.count
    default:
      throw failure("\(left.kindName) and \(right.kindName) have no order", at: offset)
    }
  }

  func contains(
    _ container: TemplateValue, _ value: TemplateValue, at offset: Int
  ) throws -> Bool {
    switch container.payload {
    case .undefined: return false
    case .string(let text):
      guard let needle = value.textValue else {
        throw failure("only a string can be in a string, not \(value.kindName)", at: offset)
      }
      try step((text.count + needle.count) / 8, at: offset)
      return text.find(needle) != nil
    case .list(let list):
      try step(list.elements.count, at: offset)
      return try list.elements.contains { try areEqual($0, value, at: offset) }
    case .dictionary(let dictionary):
      try step(dictionary.entries.count, at: offset)
      return dictionary.value(of: value) != nil
    default: throw failure("\"in\" cannot search \(container.kindName)", at: offset)
    }
  }
}
