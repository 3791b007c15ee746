// The syntax tree of a template. Nodes know their place in the source, for error messages.

/// An expression. Its depth is bounded when it is made, so walking and freeing it is safe.
final class TemplateExpression: Sendable {
  indirect enum Kind: Sendable {
    case literal(TemplateValue)
    case name(String)
    case list([TemplateExpression])
    case tuple([TemplateExpression])
    case dictionary([(key: TemplateExpression, value: TemplateExpression)])
    case attribute(TemplateExpression, String)
    case element(TemplateExpression, TemplateExpression)
    case slice(
      TemplateExpression, TemplateExpression?, TemplateExpression?, TemplateExpression?)
    case call(TemplateExpression, TemplateArguments)
    /// The operand is nil at the head of a filter block.
    case filter(TemplateExpression?, String, TemplateArguments)
    case test(TemplateExpression, String, TemplateArguments)
    case not(TemplateExpression)
    case negative(TemplateExpression)
    case positive(TemplateExpression)
    case binary(String, TemplateExpression, TemplateExpression)
    case comparison(TemplateExpression, [(operation: String, right: TemplateExpression)])
    case and(TemplateExpression, TemplateExpression)
    case or(TemplateExpression, TemplateExpression)
    case concatenation([TemplateExpression])
    case conditional(
      test: TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
  }

  let kind: Kind
  let offset: Int
  let depth: Int

  init(_ kind: Kind, offset: Int, depth: Int) {
    self.kind = kind
    self.offset = offset
    self.depth = depth
  }
}

struct TemplateArguments: Sendable {
  var positional: [TemplateExpression] = []
  var named: [(name: String, value: TemplateExpression)] = []

  var all: [TemplateExpression] { positional + named.map(\.value) }
}

/// What an assignment or a loop writes to.
indirect enum AssignmentTarget: Sendable {
  case name(String)
  case attribute(namespace: String, name: String)
  case tuple([AssignmentTarget])
}

struct TemplateMacro: Sendable {
  let name: String
  let parameters: [(name: String, fallback: TemplateExpression?)]
  let body: [TemplateStatement]
}

struct TemplateStatement: Sendable {
  indirect enum Kind: Sendable {
    case text(String)
    case output(TemplateExpression)
    case branch([(test: TemplateExpression, body: [TemplateStatement])], [TemplateStatement])
    case loop(TemplateLoop)
    case assign(AssignmentTarget, TemplateExpression)
    case capture(AssignmentTarget, filter: TemplateExpression?, [TemplateStatement])
    case macro(TemplateMacro)
    case call(TemplateExpression, TemplateMacro)
    case filtered(TemplateExpression, [TemplateStatement])
    case with([(AssignmentTarget, TemplateExpression)], [TemplateStatement])
    /// `{% generation %}`: transparent, since origins already tell what the model wrote.
    case generation([TemplateStatement])
    case leave
    case next
  }

  let kind: Kind
  let offset: Int
}

struct TemplateLoop: Sendable {
  let target: AssignmentTarget
  let items: TemplateExpression
  let filter: TemplateExpression?
  let body: [TemplateStatement]
  let otherwise: [TemplateStatement]
  /// Whether `loop(items)` runs the loop again, with other items.
  let isRecursive: Bool
}
