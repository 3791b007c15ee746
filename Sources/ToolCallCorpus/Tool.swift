// What a tool of the corpus is: a name, arguments in a fixed order, and ways to ask for it.
// It holds no values; those are in Pools.swift.

/// The three files of the corpus.
public enum Split: String, CaseIterable, Sendable {
  case train, validation, test

  public var rowCount: Int { self == .train ? 2400 : 200 }
}

/// What kind of value an argument takes, which decides how a request says it.
enum ArgumentKind: Sendable, Hashable {
  /// Copied from the request as it stands, drawn from a pool that no other split shares.
  case open(Pool)
  /// `30%`, `30 %` or `30 percent` → 30.
  case percent
  /// `21 degrees` or `21 °C` → 21.
  case degrees
  /// `18:20`, `7 pm`, `7:45 am` or `half past nine in the evening` → `"HH:MM"`.
  case time
  /// `25 minutes` or `25 min` → 25.
  case minutes
  /// `3` or `three` → 3.
  case count
  /// `tomorrow`, `Friday`, `next Tuesday`: kept as said.
  case day
}

struct Argument: Sendable {
  let key: String
  let kind: ArgumentKind
}

/// A tool with its phrasings, in which `{key}` stands for an argument's value. A phrasing need not
/// name every argument: the answer holds those that it names, in the tool's order.
struct Tool: Sendable {
  let name: String
  let arguments: [Argument]
  /// Used in every split.
  let known: [String]
  /// Used in the test rows only.
  let unknown: [String]

  init(
    _ name: String, _ arguments: KeyValuePairs<String, ArgumentKind>, known: [String],
    unknown: [String]
  ) {
    self.name = name
    self.arguments = arguments.map { Argument(key: $0.key, kind: $0.value) }
    self.known = known
    self.unknown = unknown
  }

  static let all: [Tool] = home + people + errands
}
