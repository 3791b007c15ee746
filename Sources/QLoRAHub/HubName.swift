// Names that come from a server or a user and become parts of paths here: what is let through.

package enum HubName {
  /// Characters that look like a dot and are one after some normalisation.
  private static let dots: Set<Unicode.Scalar> = [
    ".", "\u{2024}", "\u{2025}", "\u{2026}", "\u{FF0E}",
  ]

  /// Whether `name` may stand below a folder: parts between single slashes, none of them made of
  /// dots, no control character and no backslash.
  package static func isPath(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard name.utf8.count <= 1024, parts.count <= 32 else { return false }
    return parts.allSatisfy { part in
      // Longest name that file systems take.
      guard (1...255).contains(part.utf8.count) else { return false }
      let scalars = part.unicodeScalars
      return !scalars.allSatisfy(dots.contains)
        && scalars.allSatisfy { scalar in
          scalar.value >= 0x20 && scalar != "\u{7F}" && scalar != "\\"
            && scalar.properties.generalCategory != .control
            && scalar.properties.generalCategory != .format
        }
    }
  }

  /// Whether `name` is a repository: `NAME` or `ORG/NAME` as the hub gives them out.
  package static func isRepository(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count) && name.utf8.count <= 96
      && !name.contains("--") && !name.contains("..")
      && parts.allSatisfy { part in
        guard let first = part.first, let last = part.last else { return false }
        return !"-.".contains(first) && !"-.".contains(last) && part.allSatisfy(isPlain)
      }
  }

  /// Whether `text` can be a branch, a tag, `refs/pr/1` or a commit.
  package static func isRevision(_ text: String) -> Bool {
    isPath(text) && text.allSatisfy { isPlain($0) || "/+".contains($0) } && !text.contains("..")
  }

  /// What a terminal can show of a text that a server sent.
  static func shown(_ text: String) -> String {
    String(
      text.unicodeScalars.prefix(100).map {
        $0.properties.generalCategory == .control || $0.properties.generalCategory == .format
          ? "?" : Character($0)
      })
  }

  private static func isPlain(_ character: Character) -> Bool {
    character.isASCII && (character.isLetter || character.isNumber || "._-".contains(character))
  }
}
