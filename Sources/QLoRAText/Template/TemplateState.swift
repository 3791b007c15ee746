// The parts of a rendering that change: scopes, namespaces and loops. They live as long as one
// call of `render`, which empties them at its end, since they may refer to each other in circles.

/// The variables of a block, and the blocks round it.
// SAFETY: made, read and written by one render call on one thread; never handed out.
final class Scope: @unchecked Sendable {
  var variables: [String: TemplateValue]
  private(set) var parent: Scope?

  init(_ variables: [String: TemplateValue] = [:], parent: Scope?) {
    self.variables = variables
    self.parent = parent
  }

  func value(of name: String) -> TemplateValue? {
    var scope: Scope? = self
    while let here = scope {
      if let value = here.variables[name] { return value }
      scope = here.parent
    }
    return nil
  }

  func clear() {
    variables = [:]
    parent = nil
  }
}

/// What `namespace()` makes: the one thing that an inner scope can change for an outer one.
// SAFETY: a namespace is made, read and written by one render call on one thread.
final class Namespace: @unchecked Sendable {
  var members: [String: TemplateValue]

  init(_ members: [String: TemplateValue]) { self.members = members }
}

/// The variable `loop`.
// SAFETY: as for `Namespace`, only one render call on one thread ever sees it.
final class LoopState: @unchecked Sendable {
  private(set) var elements: [TemplateValue]
  /// How often `loop()` was called to get here, plus one.
  let depth: Int
  var index = 0
  var lastChanged: [TemplateValue]?
  /// What `loop(items)` gives; nil where the loop is not recursive.
  var again: ((TemplateValue, Int) throws -> TaggedText)?

  init(_ elements: [TemplateValue], depth: Int) {
    self.elements = elements
    self.depth = depth
  }

  func clear() {
    elements = []
    lastChanged = nil
    again = nil
  }

  func attribute(_ name: String) -> TemplateValue? {
    switch name {
    case "index": .int(index + 1)
    case "index0": .int(index)
    case "revindex": .int(elements.count - index)
    case "revindex0": .int(elements.count - index - 1)
    case "first": .bool(index == 0)
    case "last": .bool(index == elements.count - 1)
    case "length": .int(elements.count)
    case "depth": .int(depth)
    case "depth0": .int(depth - 1)
    case "previtem": index > 0 ? elements[index - 1] : .undefined("there is no previous item")
    case "nextitem":
      index + 1 < elements.count ? elements[index + 1] : .undefined("there is no next item")
    case "cycle", "changed": TemplateValue(.callable(.method(TemplateValue(.loop(self)), name)))
    default: nil
    }
  }
}
