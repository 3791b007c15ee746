// Walks the statements of a template and collects its output. Expressions, filters and methods are
// in the extensions beside this file; limits are counted here.
import QLoRADiagnostics

final class TemplateRenderer {
  /// What a body of statements came to.
  enum Flow { case normal, leave, next }

  let source: TemplateSource
  let now: TemplateDate
  private(set) var output = TaggedText()
  private var outputBytes = 0
  private var steps = 0
  private var textWork = 0
  private var evaluationDepth = 0
  private var macroDepth = 0
  /// What may refer to itself in circles, to be emptied at the end.
  private var scopes: [Scope] = []
  private var loops: [LoopState] = []
  private var namespaces: [Namespace] = []

  init(source: TemplateSource, now: TemplateDate) {
    self.source = source
    self.now = now
  }

  /// Renders the whole template; a renderer is used once.
  func render(
    _ body: [TemplateStatement], variables: [String: TemplateValue]
  ) throws -> TaggedText {
    let globals = Scope(variables, parent: nil)
    defer {
      globals.clear()
      for scope in scopes { scope.clear() }
      for loop in loops { loop.clear() }
      for namespace in namespaces { namespace.members = [:] }
    }
    guard try run(body, Scope(parent: globals)) == .normal else {
      throw failure("break or continue outside a loop", at: 0)
    }
    return output
  }

  func failure(_ message: String, at offset: Int) -> Diagnostic {
    source.failure(.templateFailed, message, at: offset)
  }

  // MARK: Limits

  func limitFailure(_ message: String, at offset: Int) -> Diagnostic {
    source.failure(.templateLimit, message, at: offset)
  }

  /// Counts work; every statement, expression and element of a list is a step.
  func step(_ count: Int = 1, at offset: Int) throws {
    // A count may be of astronomic weight.
    steps = min(steps, Int.max / 2) + min(count, Int.max / 2)
    if steps > source.limits.steps {
      throw limitFailure("more than \(source.limits.steps) steps", at: offset)
    }
  }

  /// Counts the characters of a string about to be made.
  func charge(_ characters: Int, at offset: Int) throws {
    let (sum, overflow) = textWork.addingReportingOverflow(characters)
    textWork = sum
    if overflow || sum > source.limits.textWork {
      throw limitFailure(
        "the template makes more than \(source.limits.textWork) characters of text", at: offset)
    }
  }

  /// What a value prints, counted before it is made.
  func text(of value: TemplateValue, at offset: Int) throws -> TaggedText {
    switch value.payload {
    case .list(let list) where list.isGenerator:
      throw failure("a generator has no text; join it or make a list of it", at: offset)
    case .list, .dictionary: try charge(value.weight, at: offset)
    default: break
    }
    return value.text()
  }

  /// As markup; what is markup already stays as it is.
  func escaped(_ text: TaggedText, at offset: Int) throws -> TaggedText {
    if text.isMarkup { return text }
    // The longest escape has five characters.
    try charge(text.count + 5 * text.escapeCount, at: offset)
    return text.escaped()
  }

  /// Whether two values are equal; what is looked at counts.
  func areEqual(_ left: TemplateValue, _ right: TemplateValue, at offset: Int) throws -> Bool {
    try step(min(left.weight, right.weight) / 4, at: offset)
    return left.isEqual(to: right)
  }

  func withinDepth<Result>(at offset: Int, _ body: () throws -> Result) throws -> Result {
    evaluationDepth += 1
    defer { evaluationDepth -= 1 }
    if evaluationDepth > source.limits.evaluationDepth {
      throw limitFailure(
        "evaluated deeper than \(source.limits.evaluationDepth) levels", at: offset)
    }
    return try body()
  }

  /// A container made by the template, unless it nests too deeply.
  func checked(_ value: TemplateValue, at offset: Int) throws -> TemplateValue {
    if value.depth > source.limits.valueDepth {
      throw limitFailure(
        "a value nested deeper than \(source.limits.valueDepth) levels", at: offset)
    }
    return value
  }

  func makeNamespace(_ members: [String: TemplateValue]) -> TemplateValue {
    let namespace = Namespace(members)
    namespaces.append(namespace)
    return TemplateValue(.namespace(namespace))
  }

  // MARK: Statements

  private func write(_ text: TaggedText, at offset: Int) throws {
    try charge(text.count, at: offset)
    outputBytes += text.scalars.reduce(0) { $0 + UTF8.width($1.scalar) }
    if outputBytes > source.limits.outputBytes {
      throw limitFailure("more than \(source.limits.outputBytes) bytes of output", at: offset)
    }
    output.append(text)
  }

  /// The output of `body` as a value instead of on the page.
  private func capture(_ body: () throws -> Void) throws -> TaggedText {
    let outer = output
    output = TaggedText()
    defer { output = outer }
    try body()
    return output
  }

  private func run(_ body: [TemplateStatement], _ scope: Scope) throws -> Flow {
    for statement in body {
      try step(at: statement.offset)
      let flow = try withinDepth(at: statement.offset) { try run(statement, scope) }
      if flow != .normal { return flow }
    }
    return .normal
  }

  private func run(_ statement: TemplateStatement, _ scope: Scope) throws -> Flow {
    let offset = statement.offset
    switch statement.kind {
    case .text(let text): try write(TaggedText(text, .template), at: offset)
    case .output(let expression):
      try write(text(of: evaluate(expression, scope), at: offset), at: offset)
    case .branch(let branches, let otherwise):
      for branch in branches where try evaluate(branch.test, scope).isTrue {
        return try run(branch.body, scope)
      }
      return try run(otherwise, scope)
    case .loop(let loop): return try run(loop, scope, offset)
    case .assign(let target, let expression):
      try assign(evaluate(expression, scope), to: target, scope, offset)
    case .capture(let target, let filter, let body):
      var text = TemplateValue.string(try capture { try runInside(body, scope, offset) })
      if let filter { text = try evaluate(filter, scope, operand: text) }
      try assign(text, to: target, scope, offset)
    case .macro(let macro):
      scopes.append(scope)
      scope.variables[macro.name] = TemplateValue(.callable(.macro(macro, scope)))
    case .call(let call, let caller):
      scopes.append(scope)
      let value = TemplateValue(.callable(.macro(caller, scope)))
      try write(text(of: evaluateCall(call, scope, caller: value), at: offset), at: offset)
    case .filtered(let filter, let body):
      let text = TemplateValue.string(try capture { try runInside(body, scope, offset) })
      try write(self.text(of: evaluate(filter, scope, operand: text), at: offset), at: offset)
    case .with(let values, let body):
      let inner = Scope(parent: scope)
      for (target, expression) in values {
        try assign(evaluate(expression, scope), to: target, inner, offset)
      }
      return try run(body, inner)
    case .generation(let body): try runInside(body, scope, offset)
    case .leave: return .leave
    case .next: return .next
    }
    return .normal
  }

  /// Runs a body in a scope of its own that a loop's break must not leave.
  private func runInside(_ body: [TemplateStatement], _ scope: Scope, _ offset: Int) throws {
    guard try run(body, Scope(parent: scope)) == .normal else {
      throw failure("break or continue across a block", at: offset)
    }
  }

  private func run(_ loop: TemplateLoop, _ scope: Scope, _ offset: Int) throws -> Flow {
    try run(loop, over: evaluate(loop.items, scope), scope, depth: 1, offset)
  }

  /// - Parameter depth: how often a recursive loop called itself, plus one.
  private func run(
    _ loop: TemplateLoop, over items: TemplateValue, _ scope: Scope, depth: Int, _ offset: Int
  ) throws -> Flow {
    var elements = try iterate(items, at: loop.items.offset)
    try step(elements.count, at: offset)
    if let filter = loop.filter {
      elements = try elements.filter { element in
        let inner = Scope(parent: scope)
        try assign(element, to: loop.target, inner, offset)
        return try evaluate(filter, inner).isTrue
      }
    }
    if elements.isEmpty { return try run(loop.otherwise, Scope(parent: scope)) }
    let state = LoopState(elements, depth: depth)
    loops.append(state)
    if loop.isRecursive {
      state.again = { [unowned self] items, place in
        try nested(at: place, "loops") {
          try capture {
            guard try run(loop, over: items, scope, depth: depth + 1, place) == .normal else {
              throw failure("break or continue across a loop", at: place)
            }
          }
        }
      }
    }
    for (index, element) in elements.enumerated() {
      state.index = index
      let inner = Scope(["loop": TemplateValue(.loop(state))], parent: scope)
      try assign(element, to: loop.target, inner, offset)
      if try run(loop.body, inner) == .leave { break }
    }
    return .normal
  }

  private func assign(
    _ value: TemplateValue, to target: AssignmentTarget, _ scope: Scope, _ offset: Int
  ) throws {
    switch target {
    case .name(let name): scope.variables[name] = value
    case .attribute(let name, let member):
      guard case .namespace(let namespace)? = scope.value(of: name)?.payload else {
        throw failure("cannot set \"\(name).\(member)\": \"\(name)\" is no namespace", at: offset)
      }
      namespace.members[member] = value
    case .tuple(let targets):
      let parts = try iterate(value, at: offset)
      guard parts.count == targets.count else {
        throw failure("cannot unpack \(parts.count) values into \(targets.count)", at: offset)
      }
      for (part, target) in zip(parts, targets) { try assign(part, to: target, scope, offset) }
    }
  }

  // MARK: Macros

  func call(
    _ macro: TemplateMacro, _ definition: Scope, _ arguments: ValueArguments,
    caller: TemplateValue?, at offset: Int
  ) throws -> TemplateValue {
    let scope = Scope(parent: definition)
    let values = try bind(arguments, macro.parameters.map(\.name), "\(macro.name)()", at: offset)
    for (parameter, value) in zip(macro.parameters, values) {
      if let value {
        scope.variables[parameter.name] = value
      } else if let fallback = parameter.fallback {
        scope.variables[parameter.name] = try evaluate(fallback, scope)
      } else {
        scope.variables[parameter.name] = .undefined("parameter \"\(parameter.name)\"")
      }
    }
    if let caller { scope.variables["caller"] = caller }
    return .string(
      try nested(at: offset, "macros") {
        try capture { try runInside(macro.body, scope, offset) }
      })
  }

  /// Runs what a template calls, which may call itself.
  private func nested(
    at offset: Int, _ what: String, _ body: () throws -> TaggedText
  ) throws -> TaggedText {
    macroDepth += 1
    defer { macroDepth -= 1 }
    if macroDepth > source.limits.macroDepth {
      throw limitFailure(
        "\(what) calling \(what) deeper than \(source.limits.macroDepth) levels", at: offset)
    }
    return try body()
  }
}
