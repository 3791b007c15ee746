// From tokens to the syntax tree: the statements. Expressions are parsed in the file beside it.
import QLoRADiagnostics

struct TemplateParser {
  let source: TemplateSource
  private let tokens: [TemplateToken]
  private var index = 0
  var nesting = 0

  init(_ source: TemplateSource) throws(Diagnostic) {
    self.source = source
    var lexer = TemplateLexer(source)
    tokens = try lexer.tokenize()
  }

  mutating func parseTemplate() throws(Diagnostic) -> [TemplateStatement] {
    let body = try parseBody(until: [])
    guard current.kind == .end else { throw failure("unexpected end of a block") }
    return body
  }

  // MARK: Tokens

  var current: TemplateToken { tokens[index] }
  var following: TemplateToken { tokens[min(index + 1, tokens.count - 1)] }

  mutating func advance() { if index < tokens.count - 1 { index += 1 } }

  func failure(_ message: String, at offset: Int? = nil) -> Diagnostic {
    source.failure(.templateSyntax, message, at: offset ?? current.offset)
  }

  func isName(_ name: String) -> Bool { current.kind == .name(name) }
  func isSymbol(_ symbol: String) -> Bool { current.kind == .symbol(symbol) }

  mutating func skipName(_ name: String) -> Bool {
    guard isName(name) else { return false }
    advance()
    return true
  }

  mutating func skipSymbol(_ symbol: String) -> Bool {
    guard isSymbol(symbol) else { return false }
    advance()
    return true
  }

  mutating func expectSymbol(_ symbol: String) throws(Diagnostic) {
    guard skipSymbol(symbol) else { throw failure("expected \"\(symbol)\", found \(found)") }
  }

  mutating func expectName() throws(Diagnostic) -> String {
    guard case .name(let name) = current.kind else {
      throw failure("expected a name, found \(found)")
    }
    advance()
    return name
  }

  /// The current token as an error message says it.
  var found: String {
    switch current.kind {
    case .text: "text"
    case .blockStart: "{%"
    case .blockEnd: "the end of the block"
    case .outputStart: "{{"
    case .outputEnd: "}}"
    case .name(let name): "\"\(name)\""
    case .string: "a string"
    case .integer, .float: "a number"
    case .symbol(let symbol): "\"\(symbol)\""
    case .end: "the end of the template"
    }
  }

  /// Counts a level of nesting, so that no template can exhaust the stack.
  mutating func enter() throws(Diagnostic) {
    nesting += 1
    guard nesting <= source.limits.syntaxDepth else {
      throw source.failure(
        .templateLimit, "nested deeper than \(source.limits.syntaxDepth) levels",
        at: current.offset)
    }
  }

  // MARK: Statements

  /// Statements up to a block whose first word is one of `ends`; that word is left current.
  private mutating func parseBody(until ends: [String]) throws(Diagnostic) -> [TemplateStatement] {
    try enter()
    defer { nesting -= 1 }
    var body: [TemplateStatement] = []
    while true {
      let offset = current.offset
      switch current.kind {
      case .text(let text):
        advance()
        body.append(TemplateStatement(kind: .text(text), offset: offset))
      case .outputStart:
        advance()
        let value = try parseTuple()
        guard current.kind == .outputEnd else { throw failure("expected }}, found \(found)") }
        advance()
        body.append(TemplateStatement(kind: .output(value), offset: offset))
      case .blockStart:
        advance()
        let word = try expectName()
        if ends.contains(word) { return body }
        body.append(TemplateStatement(kind: try parseStatement(word, offset), offset: offset))
      default:
        guard ends.isEmpty else {
          throw failure("the template ends where \(ends.joined(separator: " or ")) is missing")
        }
        return body
      }
    }
  }

  private mutating func endBlock() throws(Diagnostic) {
    guard current.kind == .blockEnd else { throw failure("expected %}, found \(found)") }
    advance()
  }

  /// The rest of a block, its body and its end tag.
  private mutating func parseBlockBody(_ end: String) throws(Diagnostic) -> [TemplateStatement] {
    try endBlock()
    let body = try parseBody(until: [end])
    // `endblock name` and the like are allowed for some tags; a name is harmless for all.
    if case .name = current.kind { advance() }
    try endBlock()
    return body
  }

  private mutating func parseStatement(
    _ word: String, _ offset: Int
  ) throws(Diagnostic) -> TemplateStatement.Kind {
    switch word {
    case "if": return try parseIf()
    case "for": return try parseFor()
    case "set": return try parseSet()
    case "macro":
      let name = try expectName()
      let parameters = try parseParameters()
      let body = try parseBlockBody("endmacro")
      return .macro(TemplateMacro(name: name, parameters: parameters, body: body))
    case "call":
      let parameters = isSymbol("(") ? try parseParameters() : []
      let call = try parseExpression()
      guard case .call = call.kind else { throw failure("expected a call", at: call.offset) }
      let body = try parseBlockBody("endcall")
      return .call(call, TemplateMacro(name: "caller", parameters: parameters, body: body))
    case "filter":
      let filter = try parseFilterChain(nil, startsWithName: true)
      return .filtered(filter, try parseBlockBody("endfilter"))
    case "with": return try parseWith()
    case "generation": return .generation(try parseBlockBody("endgeneration"))
    case "break":
      try endBlock()
      return .leave
    case "continue":
      try endBlock()
      return .next
    default:
      throw failure("unknown or unsupported statement \"\(word)\"", at: offset)
    }
  }

  private mutating func parseIf() throws(Diagnostic) -> TemplateStatement.Kind {
    var branches: [(test: TemplateExpression, body: [TemplateStatement])] = []
    var word = "if"
    while word != "else" && word != "endif" {
      let test = try parseTuple()
      try endBlock()
      let body = try parseBody(until: ["elif", "else", "endif"])
      branches.append((test, body))
      word = precedingName
    }
    var otherwise: [TemplateStatement] = []
    if word == "else" {
      try endBlock()
      otherwise = try parseBody(until: ["endif"])
    }
    try endBlock()
    return .branch(branches, otherwise)
  }

  /// The word at which `parseBody` stopped.
  private var precedingName: String {
    if case .name(let name) = tokens[index - 1].kind { name } else { "" }
  }

  private mutating func parseFor() throws(Diagnostic) -> TemplateStatement.Kind {
    let target = try parseTarget()
    guard skipName("in") else { throw failure("expected \"in\", found \(found)") }
    let items = try parseTuple(allowsConditional: false)
    let filter = skipName("if") ? try parseExpression() : nil
    let isRecursive = skipName("recursive")
    try endBlock()
    let body = try parseBody(until: ["else", "endfor"])
    var otherwise: [TemplateStatement] = []
    if precedingName == "else" {
      try endBlock()
      otherwise = try parseBody(until: ["endfor"])
    }
    try endBlock()
    return .loop(
      TemplateLoop(
        target: target, items: items, filter: filter, body: body, otherwise: otherwise,
        isRecursive: isRecursive))
  }

  private mutating func parseSet() throws(Diagnostic) -> TemplateStatement.Kind {
    let target = try parseTarget(allowsAttribute: true)
    if skipSymbol("=") {
      let value = try parseTuple()
      try endBlock()
      return .assign(target, value)
    }
    let filter = isSymbol("|") ? try parseFilterChain(nil, startsWithName: false) : nil
    return .capture(target, filter: filter, try parseBlockBody("endset"))
  }

  private mutating func parseWith() throws(Diagnostic) -> TemplateStatement.Kind {
    var values: [(AssignmentTarget, TemplateExpression)] = []
    while current.kind != .blockEnd {
      if !values.isEmpty { try expectSymbol(",") }
      let target = try parseTarget()
      try expectSymbol("=")
      values.append((target, try parseExpression()))
    }
    return .with(values, try parseBlockBody("endwith"))
  }

  private mutating func parseTarget(
    allowsAttribute: Bool = false
  ) throws(Diagnostic) -> AssignmentTarget {
    try enter()
    defer { nesting -= 1 }
    var targets: [AssignmentTarget] = []
    var isTuple = false
    while true {
      if skipSymbol("(") {
        targets.append(try parseTarget())
        try expectSymbol(")")
      } else {
        let name = try expectName()
        if allowsAttribute, skipSymbol(".") {
          return .attribute(namespace: name, name: try expectName())
        }
        targets.append(.name(name))
      }
      guard skipSymbol(",") else { break }
      isTuple = true
      if isName("in") || isSymbol("=") || isSymbol(")") { break }
    }
    return isTuple ? .tuple(targets) : targets[0]
  }

  private mutating func parseParameters() throws(Diagnostic)
    -> [(name: String, fallback: TemplateExpression?)]
  {
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    try expectSymbol("(")
    while !skipSymbol(")") {
      if !parameters.isEmpty { try expectSymbol(",") }
      if skipSymbol(")") { break }
      let name = try expectName()
      let fallback = skipSymbol("=") ? try parseExpression() : nil
      if fallback == nil, parameters.last?.fallback != nil {
        throw failure("a parameter without a default follows one with a default")
      }
      parameters.append((name, fallback))
    }
    return parameters
  }
}
