// The values of a template while it renders: Python's, as far as templates need them. They are
// never changed in place, except for a namespace, which exists for that.

struct TemplateValue: Sendable {
  indirect enum Payload: Sendable {
    /// A name, attribute or element that does not exist, with how it was asked for.
    case undefined(String)
    case none
    case bool(Bool)
    case int(Int)
    case float(Double)
    case string(TaggedText)
    case list(ValueList)
    case dictionary(ValueDictionary)
    case namespace(Namespace)
    case loop(LoopState)
    case callable(Callable)
  }

  var payload: Payload
  /// Who wrote the value: what its spelling in the output is tagged with.
  var origin: TextOrigin

  init(_ payload: Payload, _ origin: TextOrigin = .template) {
    self.payload = payload
    self.origin = origin
  }

  static let none = TemplateValue(.none)
  static func undefined(_ name: String) -> TemplateValue { TemplateValue(.undefined(name)) }
  static func bool(_ value: Bool) -> TemplateValue { TemplateValue(.bool(value)) }
  static func int(_ value: Int) -> TemplateValue { TemplateValue(.int(value)) }
  static func string(_ text: TaggedText) -> TemplateValue {
    TemplateValue(.string(text), text.origin)
  }
  static func text(_ text: String) -> TemplateValue { .string(TaggedText(text, .template)) }

  var isUndefined: Bool { if case .undefined = payload { true } else { false } }
  var isNone: Bool { if case .none = payload { true } else { false } }
  var textValue: TaggedText? { if case .string(let text) = payload { text } else { nil } }
  var listValue: ValueList? { if case .list(let list) = payload { list } else { nil } }
  var dictionaryValue: ValueDictionary? {
    if case .dictionary(let dictionary) = payload { dictionary } else { nil }
  }
  /// An integer; Python's booleans are integers too.
  var intValue: Int? {
    switch payload {
    case .int(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }
  var doubleValue: Double? {
    if case .float(let value) = payload { value } else { intValue.map(Double.init) }
  }

  /// What an `if` takes for true.
  var isTrue: Bool {
    switch payload {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .float(let value): value != 0
    case .string(let text): !text.isEmpty
    case .list(let list): list.isGenerator || !list.elements.isEmpty
    case .dictionary(let dictionary): !dictionary.entries.isEmpty
    case .namespace, .loop, .callable: true
    }
  }

  /// How deep containers nest in the value.
  var depth: Int {
    switch payload {
    case .list(let list): list.depth
    case .dictionary(let dictionary): dictionary.depth
    case .callable(.method(let receiver, _)): receiver.depth + 1
    default: 0
    }
  }

  /// About how many characters the value's text has and how many parts a comparison looks at. What
  /// is shared counts at each place, so a little template can make a value of astronomic weight.
  var weight: Int {
    switch payload {
    case .string(let text): 2 + text.count
    case .list(let list): list.weight
    case .dictionary(let dictionary): dictionary.weight
    default: 8
    }
  }

  /// A sum of weights that stays far from overflow.
  static func sum(_ weights: some Sequence<Int>) -> Int {
    weights.reduce(2) { min($0 + $1, 1 << 48) }
  }

  /// The kind as an error message says it.
  var kindName: String {
    switch payload {
    case .undefined(let name): "undefined (\(name))"
    case .none: "none"
    case .bool: "a boolean"
    case .int: "an integer"
    case .float: "a float"
    case .string: "a string"
    case .list(let list): list.isGenerator ? "a generator" : list.isTuple ? "a tuple" : "a list"
    case .dictionary: "a mapping"
    case .namespace: "a namespace"
    case .loop: "the loop variable"
    case .callable: "a function"
    }
  }

  func isEqual(to other: TemplateValue) -> Bool {
    if let left = intValue, let right = other.intValue { return left == right }
    if let left = doubleValue, let right = other.doubleValue { return left == right }
    switch (payload, other.payload) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let left), .string(let right)): return left.hasSameText(as: right)
    case (.list(let left), .list(let right)):
      return left.isTuple == right.isTuple && left.elements.count == right.elements.count
        && zip(left.elements, right.elements).allSatisfy { $0.isEqual(to: $1) }
    case (.dictionary(let left), .dictionary(let right)):
      return left.entries.count == right.entries.count
        && left.entries.allSatisfy { entry in
          right.value(of: entry.key)?.isEqual(to: entry.value) ?? false
        }
    case (.namespace(let left), .namespace(let right)): return left === right
    case (.loop(let left), .loop(let right)): return left === right
    default: return false
    }
  }

  static func list(_ elements: [TemplateValue], isTuple: Bool = false) -> TemplateValue {
    TemplateValue(.list(ValueList(elements, isTuple: isTuple)))
  }

  static func generator(_ elements: [TemplateValue]) -> TemplateValue {
    TemplateValue(.list(ValueList(elements, isGenerator: true)))
  }
}

struct ValueList: Sendable {
  let elements: [TemplateValue]
  let isTuple: Bool
  /// What some filters give: elements one after the other, without a number or places. It is true,
  /// and has neither text nor JSON.
  let isGenerator: Bool
  let depth: Int
  let weight: Int

  init(_ elements: [TemplateValue], isTuple: Bool = false, isGenerator: Bool = false) {
    self.elements = elements
    self.isTuple = isTuple
    self.isGenerator = isGenerator
    weight = TemplateValue.sum(elements.lazy.map(\.weight))
    depth = 1 + (elements.map(\.depth).max() ?? 0)
  }
}

/// A mapping in the order of insertion. Those of templates are small, so it is searched in order.
struct ValueDictionary: Sendable {
  typealias Entry = (key: TemplateValue, value: TemplateValue)
  let entries: [Entry]
  let depth: Int
  let weight: Int

  /// The last of equal keys wins, in the place of the first, as in Python.
  init(_ pairs: [Entry]) {
    var entries: [Entry] = []
    for pair in pairs {
      if let index = entries.firstIndex(where: { $0.key.isEqual(to: pair.key) }) {
        entries[index].value = pair.value
      } else {
        entries.append(pair)
      }
    }
    self.init(distinct: entries)
  }

  /// From pairs whose keys are known to differ.
  init(distinct entries: [Entry]) {
    self.entries = entries
    weight = TemplateValue.sum(entries.lazy.map { min($0.key.weight + $0.value.weight, 1 << 48) })
    depth = 1 + (entries.map { max($0.key.depth, $0.value.depth) }.max() ?? 0)
  }

  func value(of key: TemplateValue) -> TemplateValue? {
    entries.first { $0.key.isEqual(to: key) }?.value
  }

  func value(of name: String) -> TemplateValue? {
    entries.first { entry in
      guard let text = entry.key.textValue else { return false }
      return text.scalars.lazy.map(\.scalar).elementsEqual(name.unicodeScalars)
    }?.value
  }
}

/// Something that can be called.
indirect enum Callable: Sendable {
  case function(String)
  case method(TemplateValue, String)
  case macro(TemplateMacro, Scope)
}
