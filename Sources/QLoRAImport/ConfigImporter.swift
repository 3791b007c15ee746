// A configuration on its way to a recipe: what has been taken from it, and what became of that.
import QLoRAJSON
import QLoRARecipe

struct ConfigImporter {
  let root: JSONValue
  private(set) var notes: [ImportNote] = []
  /// The recipe's values so far, by path.
  private(set) var draft: [String: JSONValue] = [:]
  /// Keys of the configuration that something was done with.
  private var handled: Set<String> = []

  init(_ root: JSONValue) { self.root = root }

  /// The value at a dotted key; nil where it is not there or holds nothing.
  func value(_ key: String) -> JSONValue? {
    let found = key.split(separator: ".").reduce(root as JSONValue?) { $0?[String($1)] }
    guard let found, !found.isNull, found != .string("") else { return nil }
    return found
  }

  func has(_ key: String) -> Bool { value(key) != nil }

  func isTrue(_ key: String) -> Bool { value(key)?.boolValue == true }

  /// The path's value in the draft.
  func drafted(_ path: String) -> JSONValue? { draft[path] }

  /// The key is dealt with and needs no word of its own.
  mutating func pass(_ keys: String...) { handled.formUnion(keys) }

  mutating func leave(_ key: String, _ reason: String) {
    guard has(key), handled.insert(key).inserted else { return }
    add(.left, key, nil, nil, reason)
  }

  /// Says that the configuration's run is not what the recipe's will be.
  mutating func differ(_ key: String, _ reason: String) {
    guard handled.insert(key).inserted else { return }
    add(.differs, key, nil, nil, reason)
  }

  /// Takes a value over that `change` explains; of two keys for one path, the first counts.
  mutating func set(
    _ path: String, _ value: JSONValue, from key: String, because change: String = ""
  ) {
    handled.insert(key)
    if let refusal = FieldSchema.recipe.find(path)?.refusal(of: value) {
      let shown = JSONWriter.text(value, style: .spaced)
      return add(.left, key, nil, nil, "\(path) \(refusal.replacing(", found \(shown)", with: ""))")
    }
    if draft[path] != nil {
      return add(.left, key, nil, nil, "\(path) has its value from another key")
    }
    draft[path] = value
    add(change.isEmpty ? .carried : .changed, key, path, value, change)
  }

  /// Takes the first of `keys` that is there.
  mutating func carry(
    _ keys: String..., to path: String, _ convert: (JSONValue) -> Conversion = Conversion.plain
  ) {
    for key in keys {
      guard !handled.contains(key), let value = value(key) else { continue }
      switch convert(value) {
      case .same(let ours): set(path, ours, from: key)
      case .changed(let ours, let why): set(path, ours, from: key, because: why)
      case .left(let why): leave(key, why)
      }
    }
  }

  /// Writes the tool's own default down where nothing else was said.
  mutating func assume(_ path: String, _ value: JSONValue, _ reason: String) {
    guard draft[path] == nil else { return }
    draft[path] = value
    add(.assumed, "", path, value, reason)
  }

  /// Writes down what a recipe cannot be without.
  mutating func require(_ path: String, _ value: JSONValue, _ reason: String) {
    guard draft[path] == nil else { return }
    draft[path] = value
    add(.missing, "", path, value, reason)
  }

  mutating func forget(_ path: String, _ reason: String) {
    guard let index = notes.lastIndex(where: { $0.path == path }) else { return }
    draft[path] = nil
    let key = notes.remove(at: index).key
    if !key.isEmpty { add(.left, key, nil, nil, reason) }
  }

  private mutating func add(
    _ fate: ImportNote.Fate, _ key: String, _ path: String?, _ value: JSONValue?, _ reason: String
  ) {
    notes.append(ImportNote(fate: fate, key: key, path: path, value: value, reason: reason))
  }

  /// Says of every key that nothing was done with why.
  ///
  /// - Parameter depth: levels of the configuration that have keys; below, a value is one thing.
  mutating func leaveTheRest(depth: Int) {
    for key in keys(of: root, depth: depth) where !handled.contains(key) {
      leave(key, ForeignKeys.reason(for: key) ?? "qlora has nothing of this meaning")
    }
  }

  /// A section of which nothing was taken counts as one key.
  private func keys(of value: JSONValue, depth: Int, _ prefix: String = "") -> [String] {
    (value.objectMembers ?? []).flatMap { member -> [String] in
      let key = prefix + member.key
      let isTouched = handled.contains { $0.hasPrefix(key + ".") }
      return depth > 1 && isTouched ? keys(of: member.value, depth: depth - 1, key + ".") : [key]
    }
  }
}
