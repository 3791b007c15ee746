// Expressions, with Jinja's precedence: conditional, or, and, not, comparison, sum,
// concatenation, product, power, sign, then attributes, calls, filters and tests.
import QLoRADiagnostics

extension TemplateParser {
  private typealias Kind = TemplateExpression.Kind

  /// Makes a node; its depth is bounded here, whatever way it was built.
  private func node(
    _ kind: TemplateExpression.Kind, _ offset: Int, _ children: [TemplateExpression] = []
  ) throws(Diagnostic) -> TemplateExpression {
    var depth = 1
    for child in children { depth = max(depth, child.depth + 1) }
    guard depth <= source.limits.syntaxDepth else {
      throw source.failure(
        .templateLimit, "an expression deeper than \(source.limits.syntaxDepth) levels",
        at: offset)
    }
    return TemplateExpression(kind, offset: offset, depth: depth)
  }

  /// An expression, or several with commas between, which make a tuple.
  mutating func parseTuple(
    allowsConditional: Bool = true
  ) throws(Diagnostic) -> TemplateExpression {
    let offset = current.offset
    var items: [TemplateExpression] = []
    var isTuple = false
    while !endsTuple {
      items.append(allowsConditional ? try parseExpression() : try parseOr())
      guard skipSymbol(",") else { break }
      isTuple = true
    }
    if !isTuple, let only = items.first { return only }
    guard isTuple else { throw failure("expected an expression, found \(found)") }
    return try node(.tuple(items), offset, items)
  }

  private var endsTuple: Bool {
    switch current.kind {
    case .outputEnd, .blockEnd, .symbol(")"), .end: true
    default: false
    }
  }

  mutating func parseExpression() throws(Diagnostic) -> TemplateExpression {
    try enter()
    defer { nesting -= 1 }
    var value = try parseOr()
    while isName("if") {
      let offset = current.offset
      advance()
      let test = try parseOr()
      let otherwise = skipName("else") ? try parseExpression() : nil
      value = try node(
        .conditional(test: test, then: value, otherwise: otherwise), offset,
        [test, value] + (otherwise.map { [$0] } ?? []))
    }
    return value
  }

  private mutating func parseOr() throws(Diagnostic) -> TemplateExpression {
    var left = try parseAnd()
    while isName("or") {
      let offset = current.offset
      advance()
      let right = try parseAnd()
      left = try node(.or(left, right), offset, [left, right])
    }
    return left
  }

  private mutating func parseAnd() throws(Diagnostic) -> TemplateExpression {
    var left = try parseNot()
    while isName("and") {
      let offset = current.offset
      advance()
      let right = try parseNot()
      left = try node(.and(left, right), offset, [left, right])
    }
    return left
  }

  private mutating func parseNot() throws(Diagnostic) -> TemplateExpression {
    guard isName("not") else { return try parseComparison() }
    try enter()
    defer { nesting -= 1 }
    let offset = current.offset
    advance()
    let operand = try parseNot()
    return try node(.not(operand), offset, [operand])
  }

  private mutating func parseComparison() throws(Diagnostic) -> TemplateExpression {
    let left = try parseSum()
    let offset = current.offset
    var rest: [(operation: String, right: TemplateExpression)] = []
    while let operation = comparisonOperator() { rest.append((operation, try parseSum())) }
    if rest.isEmpty { return left }
    return try node(.comparison(left, rest), offset, [left] + rest.map(\.right))
  }

  private mutating func comparisonOperator() -> String? {
    if case .symbol(let symbol) = current.kind,
      ["==", "!=", "<", "<=", ">", ">="].contains(symbol)
    {
      advance()
      return symbol
    }
    if skipName("in") { return "in" }
    if isName("not"), following.kind == .name("in") {
      advance()
      advance()
      return "not in"
    }
    return nil
  }

  private mutating func parseSum() throws(Diagnostic) -> TemplateExpression {
    var left = try parseConcatenation()
    while case .symbol(let symbol) = current.kind, symbol == "+" || symbol == "-" {
      let offset = current.offset
      advance()
      let right = try parseConcatenation()
      left = try node(.binary(symbol, left, right), offset, [left, right])
    }
    return left
  }

  private mutating func parseConcatenation() throws(Diagnostic) -> TemplateExpression {
    let offset = current.offset
    var parts = [try parseProduct()]
    while skipSymbol("~") { parts.append(try parseProduct()) }
    return parts.count == 1 ? parts[0] : try node(.concatenation(parts), offset, parts)
  }

  private mutating func parseProduct() throws(Diagnostic) -> TemplateExpression {
    var left = try parsePower()
    while case .symbol(let symbol) = current.kind, ["*", "/", "//", "%"].contains(symbol) {
      let offset = current.offset
      advance()
      let right = try parsePower()
      left = try node(.binary(symbol, left, right), offset, [left, right])
    }
    return left
  }

  private mutating func parsePower() throws(Diagnostic) -> TemplateExpression {
    var left = try parseUnary()
    while isSymbol("**") {
      let offset = current.offset
      advance()
      let right = try parseUnary()
      left = try node(.binary("**", left, right), offset, [left, right])
    }
    return left
  }

  private mutating func parseUnary(
    allowsFilters: Bool = true
  ) throws(Diagnostic) -> TemplateExpression {
    try enter()
    defer { nesting -= 1 }
    let offset = current.offset
    var value: TemplateExpression
    if skipSymbol("-") {
      let operand = try parseUnary(allowsFilters: false)
      value = try node(.negative(operand), offset, [operand])
    } else if skipSymbol("+") {
      let operand = try parseUnary(allowsFilters: false)
      value = try node(.positive(operand), offset, [operand])
    } else {
      value = try parsePrimary()
    }
    value = try parsePostfix(value)
    return allowsFilters ? try parseFilterChain(value, startsWithName: false) : value
  }

  private mutating func parsePrimary() throws(Diagnostic) -> TemplateExpression {
    let offset = current.offset
    switch current.kind {
    case .name(let name):
      advance()
      switch name {
      case "true", "True": return try node(.literal(.bool(true)), offset)
      case "false", "False": return try node(.literal(.bool(false)), offset)
      case "none", "None": return try node(.literal(.none), offset)
      default: return try node(.name(name), offset)
      }
    case .string(var text):
      advance()
      while case .string(let more) = current.kind {
        text += more
        advance()
      }
      return try node(.literal(.text(text)), offset)
    case .integer(let value):
      advance()
      return try node(.literal(.int(value)), offset)
    case .float(let value):
      advance()
      return try node(.literal(TemplateValue(.float(value))), offset)
    case .symbol("("):
      advance()
      if skipSymbol(")") { return try node(.tuple([]), offset) }
      let inner = try parseTuple()
      try expectSymbol(")")
      return inner
    case .symbol("["): return try parseList(offset)
    case .symbol("{"): return try parseDictionary(offset)
    default: throw failure("expected an expression, found \(found)")
    }
  }

  private mutating func parseList(_ offset: Int) throws(Diagnostic) -> TemplateExpression {
    advance()
    var items: [TemplateExpression] = []
    while !skipSymbol("]") {
      if !items.isEmpty {
        try expectSymbol(",")
        if skipSymbol("]") { break }
      }
      items.append(try parseExpression())
    }
    return try node(.list(items), offset, items)
  }

  private mutating func parseDictionary(_ offset: Int) throws(Diagnostic) -> TemplateExpression {
    advance()
    var entries: [(key: TemplateExpression, value: TemplateExpression)] = []
    while !skipSymbol("}") {
      if !entries.isEmpty {
        try expectSymbol(",")
        if skipSymbol("}") { break }
      }
      let key = try parseExpression()
      try expectSymbol(":")
      entries.append((key, try parseExpression()))
    }
    return try node(.dictionary(entries), offset, entries.flatMap { [$0.key, $0.value] })
  }

  private mutating func parsePostfix(
    _ operand: TemplateExpression
  ) throws(Diagnostic) -> TemplateExpression {
    var value = operand
    while true {
      let offset = current.offset
      if skipSymbol(".") {
        if case .integer(let index) = current.kind {
          advance()
          let key = try node(.literal(.int(index)), offset)
          value = try node(.element(value, key), offset, [value])
        } else {
          value = try node(.attribute(value, try expectName()), offset, [value])
        }
      } else if skipSymbol("[") {
        value = try parseSubscript(value, offset)
      } else if isSymbol("(") {
        let arguments = try parseArguments()
        value = try node(.call(value, arguments), offset, [value] + arguments.all)
      } else {
        return value
      }
    }
  }

  private mutating func parseSubscript(
    _ operand: TemplateExpression, _ offset: Int
  ) throws(Diagnostic) -> TemplateExpression {
    var bounds: [TemplateExpression?] = []
    var isSlice = false
    var pending: TemplateExpression?
    while !skipSymbol("]") {
      if skipSymbol(":") {
        isSlice = true
        bounds.append(pending)
        pending = nil
      } else if pending == nil {
        pending = try parseExpression()
      } else {
        throw failure("expected \"]\", found \(found)")
      }
    }
    guard isSlice else {
      guard let key = pending else { throw failure("an empty subscript", at: offset) }
      return try node(.element(operand, key), offset, [operand, key])
    }
    bounds.append(pending)
    guard bounds.count <= 3 else { throw failure("a slice with too many parts", at: offset) }
    while bounds.count < 3 { bounds.append(nil) }
    return try node(
      .slice(operand, bounds[0], bounds[1], bounds[2]), offset,
      [operand] + bounds.compactMap { $0 })
  }

  private mutating func parseArguments() throws(Diagnostic) -> TemplateArguments {
    var arguments = TemplateArguments()
    var isFirst = true
    try expectSymbol("(")
    while !skipSymbol(")") {
      if !isFirst {
        try expectSymbol(",")
        if skipSymbol(")") { break }
      }
      isFirst = false
      if case .name(let name) = current.kind, following.kind == .symbol("=") {
        advance()
        advance()
        arguments.named.append((name, try parseExpression()))
      } else {
        guard arguments.named.isEmpty else {
          throw failure("an argument without a name follows one with a name")
        }
        arguments.positional.append(try parseExpression())
      }
    }
    return arguments
  }

  /// Filters, tests and further calls after an operand.
  ///
  /// - Parameters:
  ///   - operand: nil at the head of a filter block, whose body is the operand.
  ///   - startsWithName: the first filter's `|` is left out, as filter blocks write it.
  mutating func parseFilterChain(
    _ operand: TemplateExpression?, startsWithName: Bool
  ) throws(Diagnostic) -> TemplateExpression {
    var value = operand
    var takesName = startsWithName
    while true {
      let offset = current.offset
      if takesName || skipSymbol("|") {
        takesName = false
        var name = try expectName()
        while skipSymbol(".") { name += "." + (try expectName()) }
        let arguments = isSymbol("(") ? try parseArguments() : TemplateArguments()
        value = try node(
          .filter(value, name, arguments), offset, (value.map { [$0] } ?? []) + arguments.all)
      } else if let operand = value, isName("is") {
        advance()
        value = try parseTest(operand, offset)
      } else if let operand = value, isSymbol("(") {
        let arguments = try parseArguments()
        value = try node(.call(operand, arguments), offset, [operand] + arguments.all)
      } else if let value {
        return value
      } else {
        throw failure("expected a filter, found \(found)")
      }
    }
  }

  private mutating func parseTest(
    _ operand: TemplateExpression, _ offset: Int
  ) throws(Diagnostic) -> TemplateExpression {
    let isNegated = skipName("not")
    let name = try expectName()
    var arguments = TemplateArguments()
    if isSymbol("(") {
      arguments = try parseArguments()
    } else if beginsTestArgument {
      arguments.positional = [try parsePostfix(try parsePrimary())]
    }
    let test = try node(.test(operand, name, arguments), offset, [operand] + arguments.all)
    return isNegated ? try node(.not(test), offset, [test]) : test
  }

  private var beginsTestArgument: Bool {
    switch current.kind {
    case .name(let name): !["else", "or", "and", "is", "if"].contains(name)
    case .string, .integer, .float, .symbol("["), .symbol("{"): true
    default: false
    }
  }
}
