// What to say about a key that is not known at its place: another spelling, another place, or what
// another tool's name is called here.
import QLoRAJSON

struct KeyAdvice {
  private static let all = FieldSchema.recipe.flattened()

  let key: String
  /// The section that the key stands in; empty at the top.
  let level: String
  /// Keys that stand there already and are less likely to be meant once more.
  var present: Set<String> = []

  /// The end of the error message.
  var remedy: String {
    let here = (FieldSchema.recipe.find(level) ?? .recipe).children.map(\.key)
    let plainKey = Nearness.plain(key)
    if let same = here.first(where: { Nearness.plain($0) == plainKey }) {
      return "did you mean \"\(same)\"?"
    }
    if let path = RecipeAliases.path(for: key, in: level) {
      return path.hasPrefix("(")
        ? "\(path.dropFirst().dropLast())" : "\"\(key)\" is \"\(path)\" here"
    }
    if let reason = ForeignKeys.advice(on: key) { return reason }
    if let place = elsewhere(plainKey) { return "\"\(place.key)\" belongs in \(place.section)" }
    if let nearest = Nearness.nearest(to: key, among: here, unlikely: present) {
      return "did you mean \"\(nearest)\"?"
    }
    let all = Self.all
    if let nearest = Nearness.nearest(to: key, among: all.map(\.schema.key)),
      let found = all.first(where: { $0.schema.key == nearest })
    {
      return "did you mean \"\(found.path)\"?"
    }
    return "known here: \(here.joined(separator: ", "))"
  }

  /// The section of a key that is right in itself but stands in the wrong place.
  private func elsewhere(_ plainKey: String) -> (key: String, section: String)? {
    let found = Self.all.filter { Nearness.plain($0.schema.key) == plainKey }
    guard let first = found.first else { return nil }
    // A key below the present section is nearer than one in another part of the recipe.
    let best = found.first { !level.isEmpty && $0.path.hasPrefix(level + ".") } ?? first
    let parts = best.path.split(separator: ".").dropLast()
    let section = parts.isEmpty ? "the top level" : parts.joined(separator: ".")
    return (best.schema.key, section)
  }

  /// A line to paste for a required key.
  static func example(of path: String) -> String? {
    if path == "model.path" { return "add \"model\": {\"path\": \"Models/model.gguf\"}" }
    if path == "data.train" {
      return "add \"data\": {\"train\": [{\"path\": \"train.jsonl\", \"format\": \"messages\"}]}"
    }
    return path.hasSuffix(".path") ? "add \"path\": \"train.jsonl\"" : nil
  }

  /// The remedy for a whole dotted path, as `--explain` and `--set` take one.
  static func remedy(forPath path: String) -> String {
    var level = ""
    for part in path.split(separator: ".").map(String.init) {
      let next = level.isEmpty ? part : "\(level).\(part)"
      guard FieldSchema.recipe.find(next) != nil else {
        return KeyAdvice(key: part, level: level).remedy
      }
      level = next
    }
    return "a path looks like training.optimizer.learningRate"
  }
}
