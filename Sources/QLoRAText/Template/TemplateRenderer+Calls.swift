// Calls: the functions that templates may use, macros, and the methods of strings and mappings.
import QLoRADiagnostics

extension TemplateRenderer {
  static let functionNames: Set<String> = [
    "range", "dict", "namespace", "raise_exception", "strftime_now",
  ]

  private static let textMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "upper",
    "lower", "title", "capitalize", "replace", "join", "find", "rfind", "count", "isdigit",
    "isalpha", "isspace", "removeprefix", "removesuffix",
  ]
  private static let dictionaryMethods: Set<String> = ["items", "keys", "values", "get"]
  private static let listMethods: Set<String> = ["index", "count"]

  /// The method of a value by name. Methods that would change a list or mapping do not exist.
  func method(_ name: String, of value: TemplateValue) -> TemplateValue? {
    let names: Set<String> =
      switch value.payload {
      case .string: Self.textMethods
      case .dictionary: Self.dictionaryMethods
      case .list(let list) where !list.isGenerator: Self.listMethods
      default: []
      }
    return names.contains(name) ? TemplateValue(.callable(.method(value, name))) : nil
  }

  /// - Parameter caller: what `caller()` is inside the macro, from a call block.
  func evaluateCall(
    _ expression: TemplateExpression, _ scope: Scope, caller: TemplateValue?
  ) throws -> TemplateValue {
    guard case .call(let target, let written) = expression.kind else {
      return try evaluate(expression, scope)
    }
    let offset = expression.offset
    let callee = try evaluate(target, scope)
    let arguments = try evaluate(written, scope)
    if case .loop(let state) = callee.payload {
      guard let again = state.again, arguments.positional.count == 1, arguments.named.isEmpty else {
        throw failure("loop() needs a loop that is marked recursive, and one value", at: offset)
      }
      return .string(try again(arguments.positional[0], offset))
    }
    guard case .callable(let callable) = callee.payload else {
      throw failure("\(callee.kindName) cannot be called", at: offset)
    }
    switch callable {
    case .function(let name): return try call(name, arguments, at: offset)
    case .macro(let macro, let definition):
      return try call(macro, definition, arguments, caller: caller, at: offset)
    case .method(let receiver, let name):
      switch receiver.payload {
      case .string(let text):
        try charge(text.count, at: offset)
        return try textMethod(name, text, receiver.origin, arguments, at: offset)
      case .dictionary(let dictionary):
        return try dictionaryMethod(name, dictionary, arguments, at: offset)
      case .list(let list): return try listMethod(name, list, arguments, at: offset)
      case .loop(let state): return try loopMethod(name, state, arguments, at: offset)
      default: throw failure("no method \"\(name)\"", at: offset)
      }
    }
  }

  private func call(
    _ name: String, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue {
    switch name {
    case "range": return try range(arguments, at: offset)
    case "namespace", "dict":
      var members = arguments.named.map { (key: TemplateValue.text($0.name), value: $0.value) }
      if let base = arguments.positional.first?.dictionaryValue { members = base.entries + members }
      // Keys are looked for one after the other.
      try step(members.count * min(members.count, 1 << 24) / 4, at: offset)
      if name == "dict" {
        return try checked(TemplateValue(.dictionary(ValueDictionary(members))), at: offset)
      }
      return makeNamespace(
        Dictionary(members.map { ($0.key.text().plain, $0.value) }) { _, last in last })
    case "raise_exception":
      let message = try arguments.positional.first.map {
          try text(of: $0, at: offset).plain
        } ?? "no reason given"
      throw source.failure(
        .templateRaised, "the chat template refuses this conversation: \(message)", at: offset)
    default:
      guard let format = arguments.positional.first?.textValue else {
        throw failure("strftime_now needs a format", at: offset)
      }
      return .text(now.text(format: format.plain))
    }
  }

  private func range(_ arguments: ValueArguments, at offset: Int) throws -> TemplateValue {
    let bounds = arguments.positional.compactMap(\.intValue)
    guard (1...3).contains(bounds.count), bounds.count == arguments.positional.count else {
      throw failure("range needs one to three integers", at: offset)
    }
    let start = bounds.count > 1 ? bounds[0] : 0
    let stop = bounds.count > 1 ? bounds[1] : bounds[0]
    let stride = bounds.count > 2 ? bounds[2] : 1
    guard stride != 0 else { throw failure("the stride of a range is zero", at: offset) }
    let isEmpty = stride > 0 ? start >= stop : start <= stop
    let (distance, overflow) = stop.subtractingReportingOverflow(start)
    // At most this many elements; a stride of more than one only makes fewer.
    let count = isEmpty ? 0 : (distance.magnitude - 1) / stride.magnitude + 1
    guard !overflow || isEmpty, count <= source.limits.rangeLength else {
      throw limitFailure(
        "a range of more than \(source.limits.rangeLength) numbers", at: offset)
    }
    try step(Int(count), at: offset)
    return .list((0..<Int(count)).map { .int(start + $0 * stride) })
  }

  private func dictionaryMethod(
    _ name: String, _ dictionary: ValueDictionary, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue {
    try step(dictionary.entries.count, at: offset)
    switch name {
    case "items":
      return .list(dictionary.entries.map { .list([$0.key, $0.value], isTuple: true) })
    case "keys": return .list(dictionary.entries.map(\.key))
    case "values": return .list(dictionary.entries.map(\.value))
    default:
      let values = try bind(arguments, ["key", "default"], "get()", at: offset)
      guard let key = values[0] else { throw failure("get() needs a key", at: offset) }
      return dictionary.value(of: key) ?? values[1] ?? .none
    }
  }

  private func listMethod(
    _ name: String, _ list: ValueList, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue {
    guard let wanted = arguments.positional.first else {
      throw failure("\(name)() needs a value", at: offset)
    }
    try step(list.elements.count, at: offset)
    if name == "count" {
      return .int(try list.elements.count { try areEqual($0, wanted, at: offset) })
    }
    guard let index = try list.elements.firstIndex(where: {
      try areEqual($0, wanted, at: offset)
    }) else {
      throw failure("index() of a value that is not in the list", at: offset)
    }
    return .int(index)
  }

  private func loopMethod(
    _ name: String, _ state: LoopState, _ arguments: ValueArguments, at offset: Int
  ) throws -> TemplateValue {
    if name == "cycle" {
      guard !arguments.positional.isEmpty else {
        throw failure("loop.cycle() needs values", at: offset)
      }
      return arguments.positional[state.index % arguments.positional.count]
    }
    let isSame = try state.lastChanged.map { last in
      try last.count == arguments.positional.count
        && zip(last, arguments.positional).allSatisfy { try areEqual($0, $1, at: offset) }
    }
    state.lastChanged = arguments.positional
    return .bool(isSame != true)
  }
}
