// The tests after `is`.

extension TemplateRenderer {
  func test(
    _ name: String, _ value: TemplateValue, _ arguments: ValueArguments, at offset: Int
  ) throws -> Bool {
    if let result = testOfKind(name, value) { return result }
    let other = arguments.positional.first ?? arguments.named.first?.value
    guard let other else {
      switch name {
      case "odd", "even":
        guard let number = value.intValue else {
          throw failure("\"\(name)\" needs an integer, not \(value.kindName)", at: offset)
        }
        return number.isMultiple(of: 2) == (name == "even")
      case "lower", "upper":
        let text = try text(of: value, at: offset)
        let changed = name == "lower" ? text.lowercased() : text.uppercased()
        return text.hasSameText(as: changed)
          && text.scalars.contains { $0.scalar.properties.isCased }
      default: throw failure("unknown test \"\(name)\", or one that needs a value", at: offset)
      }
    }
    switch name {
    case "equalto", "eq", "==": return try areEqual(value, other, at: offset)
    case "ne", "!=": return try !areEqual(value, other, at: offset)
    case "lt", "lessthan", "<": return try compare("<", value, other, at: offset)
    case "le", "<=": return try compare("<=", value, other, at: offset)
    case "gt", "greaterthan", ">": return try compare(">", value, other, at: offset)
    case "ge", ">=": return try compare(">=", value, other, at: offset)
    case "in": return try contains(other, value, at: offset)
    case "sameas":
      // Values have no identity here; of equal kinds, equality is what templates mean.
      return try value.kindName == other.kindName && areEqual(value, other, at: offset)
    case "divisibleby":
      guard let number = value.intValue, let divisor = other.intValue, divisor != 0 else {
        throw failure("\"divisibleby\" needs integers", at: offset)
      }
      return divisor == -1 || number % divisor == 0
    default: throw failure("unknown test \"\(name)\"", at: offset)
    }
  }

  /// Tests that only look at the kind of a value; nil for other names.
  private func testOfKind(_ name: String, _ value: TemplateValue) -> Bool? {
    switch (name, value.payload) {
    case ("sequence", .list(let list)): !list.isGenerator
    case ("escaped", _): value.textValue?.isMarkup ?? false
    case ("defined", _): !value.isUndefined
    case ("undefined", _): value.isUndefined
    case ("none", _): value.isNone
    case ("string", .string), ("mapping", .dictionary), ("boolean", .bool), ("integer", .int),
      ("float", .float), ("number", .int), ("number", .float), ("number", .bool),
      ("callable", .callable), ("sequence", .string), ("sequence", .list),
      ("sequence", .dictionary), ("sequence", .undefined), ("iterable", .string),
      ("iterable", .list), ("iterable", .dictionary), ("iterable", .undefined),
      ("true", .bool(true)), ("false", .bool(false)):
      true
    case ("string", _), ("mapping", _), ("boolean", _), ("integer", _), ("float", _),
      ("number", _), ("callable", _), ("sequence", _), ("iterable", _), ("true", _), ("false", _):
      false
    default: nil
    }
  }
}
