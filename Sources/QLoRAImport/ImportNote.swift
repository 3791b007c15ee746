// What became of one key of another tool's configuration.
import QLoRAJSON

package struct ImportNote: Sendable, Equatable {
  package enum Fate: String, Sendable, CaseIterable {
    /// The same meaning and the same value.
    case carried
    /// The meaning is kept by another value, or nearly.
    case changed
    /// The recipe is another run than the configuration's, in what is trained or how.
    case differs
    /// Nothing here has this meaning, or it is needless.
    case left
    /// The configuration says nothing, but its tool has another default than ours.
    case assumed
    /// What a recipe needs and the configuration does not say.
    case missing
  }

  package let fate: Fate
  /// The key there; empty where it has none.
  package let key: String
  /// The key here; nil where there is none.
  package let path: String?
  /// The value here.
  package let value: JSONValue?
  /// Why it changed or was left; empty where it was carried.
  package let reason: String

  package var jsonValue: JSONValue {
    .dictionary([
      ("fate", .string(fate.rawValue)), ("key", .string(key)),
      ("path", path.map { .string($0) } ?? .null), ("value", value ?? .null),
      ("reason", .string(reason)),
    ])
  }

  /// A line for people.
  package var text: String {
    let shown = value.map { JSONWriter.text($0, style: .spaced) } ?? ""
    let target = path.map { "\($0) = \(shown)" }
    let ending = reason.isEmpty ? "" : "; \(reason)"
    switch fate {
    case .carried, .changed: return "\(key) → \(target ?? "")\(ending)"
    case .left, .differs: return "\(key): \(reason)"
    case .assumed, .missing: return "\(target ?? "")\(ending)"
    }
  }
}
