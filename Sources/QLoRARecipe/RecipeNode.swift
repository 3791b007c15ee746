// A recipe's JSON after files, environment and command line are laid over each other: each value
// remembers where it comes from. It knows nothing of which keys exist.
import QLoRADiagnostics
import QLoRAJSON

/// Who decided a value.
package enum FieldOrigin: Sendable, Equatable {
  case `default`
  case recipe(file: String, line: Int, column: Int)
  /// The variable's name.
  case environment(String)
  /// The argument as it was typed.
  case commandLine(String)

  static let fileRank = 1

  /// Layers of the same rank cannot override each other.
  var rank: Int {
    switch self {
    case .default: 0
    case .recipe: Self.fileRank
    case .environment: 2
    case .commandLine: 3
    }
  }

  var location: DiagnosticLocation? {
    switch self {
    case .default: nil
    case .recipe(let file, let line, let column):
      .position(file: file, line: line, column: column)
    case .environment(let name): .file(name)
    case .commandLine(let argument): .file(argument)
    }
  }

  package var description: String {
    switch self {
    case .default: "default"
    case .recipe(let file, let line, let column): "recipe, \(file):\(line):\(column)"
    case .environment(let name): "environment variable \(name)"
    case .commandLine(let argument): "command line, \(argument)"
    }
  }
}

struct RecipeNode: Sendable {
  struct Member: Sendable {
    let key: String
    var node: RecipeNode
  }

  enum Content: Sendable {
    case value(JSONValue)
    case list([RecipeNode])
    case object([Member])
  }

  var content: Content
  let origin: FieldOrigin

  /// A tree of `value` whose parts all come from `origin`; positions count where it is a file's.
  init(_ value: JSONValue, from origin: FieldOrigin) {
    self.origin = origin
    func place(_ position: JSONPosition) -> FieldOrigin {
      guard case .recipe(let file, _, _) = origin else { return origin }
      return .recipe(file: file, line: position.line, column: position.column)
    }
    switch value {
    case .array(let elements):
      content = .list(elements.map { RecipeNode($0.value, from: place($0.position)) })
    case .object(let members):
      content = .object(
        members.map { Member(key: $0.key, node: RecipeNode($0.value, from: place($0.position))) })
    default: content = .value(value)
    }
  }

  var json: JSONValue {
    switch content {
    case .value(let value): value
    case .list(let nodes): .list(nodes.map(\.json))
    case .object(let members): .dictionary(members.map { ($0.key, $0.node.json) })
    }
  }

  var members: [Member]? { if case .object(let members) = content { members } else { nil } }

  func child(_ key: String) -> RecipeNode? { members?.first { $0.key == key }?.node }

  /// Lays `other` over this tree: objects key by key, anything else as a whole.
  mutating func merge(_ other: RecipeNode) {
    guard case .object(var own) = content, case .object(let theirs) = other.content else {
      self = other
      return
    }
    for member in theirs {
      if let index = own.firstIndex(where: { $0.key == member.key }) {
        own[index].node.merge(member.node)
      } else {
        own.append(member)
      }
    }
    content = .object(own)
  }

  /// Lays `node` over the value at a path, making objects on the way.
  ///
  /// - Returns: false where the path names an element that a list lacks.
  mutating func set(_ path: ArraySlice<String>, _ node: RecipeNode) -> Bool {
    guard let key = path.first else {
      merge(node)
      return true
    }
    if case .list(var nodes) = content, let index = Int(key) {
      guard nodes.indices.contains(index) else { return false }
      guard nodes[index].set(path.dropFirst(), node) else { return false }
      content = .list(nodes)
      return true
    }
    var own = members ?? []
    let index = own.firstIndex { $0.key == key } ?? own.count
    if index == own.count {
      own.append(Member(key: key, node: RecipeNode(.object([]), from: node.origin)))
    }
    guard own[index].node.set(path.dropFirst(), node) else { return false }
    content = .object(own)
    return true
  }

  mutating func remove(_ path: ArraySlice<String>) {
    guard case .object(var own) = content, let key = path.first else { return }
    if path.count == 1 {
      own.removeAll { $0.key == key }
    } else if let index = own.firstIndex(where: { $0.key == key }) {
      own[index].node.remove(path.dropFirst())
    }
    content = .object(own)
  }
}
