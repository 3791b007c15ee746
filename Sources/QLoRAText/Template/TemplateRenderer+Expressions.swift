// The value of an expression.
import QLoRADiagnostics

/// Arguments of a call, evaluated.
struct ValueArguments {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []
}

extension TemplateRenderer {
  /// - Parameter operand: what the innermost filter applies to at the head of a filter block.
  func evaluate(
    _ expression: TemplateExpression, _ scope: Scope, operand: TemplateValue? = nil
  ) throws -> TemplateValue {
    try step(at: expression.offset)
    return try withinDepth(at: expression.offset) {
      try evaluateKind(expression, scope, operand)
    }
  }

  private func evaluateKind(
    _ expression: TemplateExpression, _ scope: Scope, _ operand: TemplateValue?
  ) throws -> TemplateValue {
    let offset = expression.offset
    switch expression.kind {
    case .literal(let value): return value
    case .name(let name): return value(of: name, scope)
    case .list(let items): return try container(items, scope, isTuple: false, offset)
    case .tuple(let items): return try container(items, scope, isTuple: true, offset)
    case .dictionary(let entries): return try dictionary(entries, scope, offset)
    case .attribute(let base, let name):
      return try attribute(evaluate(base, scope), name, at: offset)
    case .element(let base, let key):
      return try element(evaluate(base, scope), evaluate(key, scope), at: offset)
    case .slice(let base, let start, let stop, let stride):
      return try slice(
        evaluate(base, scope), start.map { try evaluate($0, scope) },
        stop.map { try evaluate($0, scope) }, stride.map { try evaluate($0, scope) }, at: offset)
    case .call: return try evaluateCall(expression, scope, caller: nil)
    case .filter(let base, let name, let arguments):
      let value = try base.map { try evaluate($0, scope, operand: operand) } ?? operand
      return try filter(
        name, value ?? .undefined("nothing to filter"), evaluate(arguments, scope), at: offset)
    case .test(let base, let name, let arguments):
      let value = try evaluate(base, scope)
      return .bool(try test(name, value, evaluate(arguments, scope), at: offset))
    default: return try evaluateOperator(expression, scope)
    }
  }

  private func evaluateOperator(
    _ expression: TemplateExpression, _ scope: Scope
  ) throws -> TemplateValue {
    let offset = expression.offset
    switch expression.kind {
    case .not(let operand): return .bool(try !evaluate(operand, scope).isTrue)
    case .negative(let operand):
      return try binary("-", .int(0), evaluate(operand, scope), at: offset)
    case .positive(let operand):
      return try binary("+", .int(0), evaluate(operand, scope), at: offset)
    case .binary(let operation, let left, let right):
      return try binary(operation, evaluate(left, scope), evaluate(right, scope), at: offset)
    case .comparison(let first, let rest):
      var left = try evaluate(first, scope)
      for (operation, expression) in rest {
        let right = try evaluate(expression, scope)
        guard try compare(operation, left, right, at: offset) else { return .bool(false) }
        left = right
      }
      return .bool(true)
    case .and(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? try evaluate(right, scope) : value
    case .or(let left, let right):
      let value = try evaluate(left, scope)
      return value.isTrue ? value : try evaluate(right, scope)
    case .concatenation(let parts):
      var text = TaggedText()
      for part in parts {
        let piece = try self.text(of: evaluate(part, scope), at: offset)
        try charge(piece.count, at: offset)
        text.append(piece)
      }
      return .string(text)
    case .conditional(let test, let then, let otherwise):
      if try evaluate(test, scope).isTrue { return try evaluate(then, scope) }
      return try otherwise.map { try evaluate($0, scope) } ?? .undefined("an if without else")
    default: return .undefined("expression")
    }
  }

  private func value(of name: String, _ scope: Scope) -> TemplateValue {
    if let value = scope.value(of: name) { return value }
    return Self.functionNames.contains(name)
      ? TemplateValue(.callable(.function(name))) : .undefined("\"\(name)\"")
  }

  private func container(
    _ items: [TemplateExpression], _ scope: Scope, isTuple: Bool, _ offset: Int
  ) throws -> TemplateValue {
    let values = try items.map { try evaluate($0, scope) }
    return try checked(.list(values, isTuple: isTuple), at: offset)
  }

  private func dictionary(
    _ entries: [(key: TemplateExpression, value: TemplateExpression)], _ scope: Scope,
    _ offset: Int
  ) throws -> TemplateValue {
    // Keys are looked for one after the other.
    try step(entries.count * entries.count / 4, at: offset)
    let pairs = try entries.map { entry in
      (key: try evaluate(entry.key, scope), value: try evaluate(entry.value, scope))
    }
    return try checked(TemplateValue(.dictionary(ValueDictionary(pairs))), at: offset)
  }

  func evaluate(_ arguments: TemplateArguments, _ scope: Scope) throws -> ValueArguments {
    ValueArguments(
      positional: try arguments.positional.map { try evaluate($0, scope) },
      named: try arguments.named.map { ($0.name, try evaluate($0.value, scope)) })
  }

  /// Arguments in the order of `parameters`; nil where one was not given.
  func bind(
    _ arguments: ValueArguments, _ parameters: [String], _ name: String, at offset: Int
  ) throws -> [TemplateValue?] {
    guard arguments.positional.count <= parameters.count else {
      throw failure(
        "\(name) takes \(parameters.count) arguments, not \(arguments.positional.count)",
        at: offset)
    }
    var values = [TemplateValue?](repeating: nil, count: parameters.count)
    for (index, value) in arguments.positional.enumerated() { values[index] = value }
    for (parameter, value) in arguments.named {
      guard let index = parameters.firstIndex(of: parameter), values[index] == nil else {
        throw failure("\(name) has no use for the argument \"\(parameter)\"", at: offset)
      }
      values[index] = value
    }
    return values
  }

  // MARK: Parts of values

  /// `value.name`: a method first, then a member.
  func attribute(_ value: TemplateValue, _ name: String, at offset: Int) throws -> TemplateValue {
    switch value.payload {
    case .undefined(let what):
      throw failure("\(what) is undefined, so it has no \"\(name)\"", at: offset)
    case .dictionary(let dictionary):
      if let method = method(name, of: value) { return method }
      try step(dictionary.entries.count / 16, at: offset)
      return dictionary.value(of: name) ?? .undefined("\"\(name)\"")
    case .namespace(let namespace):
      return namespace.members[name] ?? .undefined("\"\(name)\" of a namespace")
    case .loop(let state): return state.attribute(name) ?? .undefined("loop.\(name)")
    default:
      return method(name, of: value) ?? .undefined("\"\(name)\" of \(value.kindName)")
    }
  }

  /// `value[key]`: an element first, then a method.
  func element(
    _ value: TemplateValue, _ key: TemplateValue, at offset: Int
  ) throws -> TemplateValue {
    if case .undefined(let what) = value.payload {
      throw failure("\(what) is undefined, so it has no elements", at: offset)
    }
    if case .dictionary(let dictionary) = value.payload {
      try step(dictionary.entries.count / 16, at: offset)
      if let found = dictionary.value(of: key) { return found }
    }
    if let index = key.intValue {
      let missing = TemplateValue.undefined("element \(index)")
      switch value.payload {
      case .list(let list) where !list.isGenerator:
        let place = index < 0 ? index + list.elements.count : index
        return list.elements.indices.contains(place) ? list.elements[place] : missing
      case .string(let text):
        let place = index < 0 ? index + text.count : index
        return text.scalars.indices.contains(place)
          ? TemplateValue(
            .string(text[place..<place + 1].marked(text.isMarkup)), value.origin) : missing
      default: return missing
      }
    }
    guard let name = key.textValue?.plain else { return .undefined("element") }
    if case .dictionary = value.payload {
      return method(name, of: value) ?? .undefined("\"\(name)\"")
    }
    return try attribute(value, name, at: offset)
  }

  /// `value[start:stop:stride]`, as Python cuts.
  private func slice(
    _ value: TemplateValue, _ start: TemplateValue?, _ stop: TemplateValue?,
    _ stride: TemplateValue?, at offset: Int
  ) throws -> TemplateValue {
    func bound(_ value: TemplateValue?) throws -> Int? {
      guard let value, !value.isNone else { return nil }
      guard let index = value.intValue else {
        throw failure("a slice needs integers, not \(value.kindName)", at: offset)
      }
      return index
    }
    let (low, high, step) = (try bound(start), try bound(stop), try bound(stride) ?? 1)
    guard step != 0 else { throw failure("the stride of a slice is zero", at: offset) }
    func indices(_ count: Int) -> [Int] {
      func place(_ bound: Int?, _ fallback: Int) -> Int {
        guard let bound else { return fallback }
        let index = bound < 0 ? max(bound, -count - 1) + count : bound
        return step > 0 ? min(max(index, 0), count) : min(max(index, -1), count - 1)
      }
      let first = place(low, step > 0 ? 0 : count - 1)
      let last = place(high, step > 0 ? count : -1)
      return Array(Swift.stride(from: first, to: last, by: step))
    }
    switch value.payload {
    case .string(let text):
      try charge(text.count, at: offset)
      let cut = TaggedText(indices(text.count).map { text.scalars[$0] })
      return TemplateValue(.string(cut.marked(text.isMarkup)), value.origin)
    case .list(let list) where !list.isGenerator:
      try self.step(list.elements.count, at: offset)
      let cut = indices(list.elements.count).map { list.elements[$0] }
      return TemplateValue(.list(ValueList(cut, isTuple: list.isTuple)), value.origin)
    case .undefined(let what): throw failure("\(what) is undefined", at: offset)
    default: throw failure("\(value.kindName) cannot be sliced", at: offset)
    }
  }

  /// The elements that a loop visits.
  func iterate(_ value: TemplateValue, at offset: Int) throws -> [TemplateValue] {
    switch value.payload {
    case .undefined: return []
    case .list(let list): return list.elements
    case .dictionary(let dictionary): return dictionary.entries.map(\.key)
    case .string(let text):
      try step(text.count, at: offset)
      return text.scalars.map { TemplateValue(.string(TaggedText([$0])), $0.origin) }
    default: throw failure("\(value.kindName) cannot be looped over", at: offset)
    }
  }
}
