// What this build of qlora can do out of what the recipe format can say; a new ability is a word
// added here.

/// The words that a key's value may have in this version, by dotted path; a path that is not
/// listed is not limited.
package struct Capabilities: Sendable {
  package var available: [String: [String]]

  package init(available: [String: [String]]) { self.available = available }

  package static let current = Capabilities(available: [
    "device": ["auto", "cpu", "cuda"]
  ])

  /// Everything that the format can say, for tests.
  package static let everything = Capabilities(available: [:])
}
