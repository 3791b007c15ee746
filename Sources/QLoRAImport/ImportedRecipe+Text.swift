// What became of a configuration, for people: the most important first.

extension ImportedRecipe {
  /// Every note under its heading, and a line that counts them.
  package var report: String {
    let groups: [(ImportNote.Fate, String)] = [
      (.differs, "The recipe is another run than this configuration"),
      (.missing, "Needed by a recipe and not in the configuration"),
      (.changed, "Changed"), (.carried, "Carried over"),
      (.assumed, "Written down because \(tool.rawValue) has another default"),
      (.left, "Left out"),
    ]
    let parts = groups.compactMap { fate, heading -> String? in
      let lines = notes.filter { $0.fate == fate }.map { "  \($0.text)\n" }
      return lines.isEmpty ? nil : "\(heading):\n\(lines.joined())"
    }
    let taken = count(.carried) + count(.changed)
    let all = taken + count(.left) + count(.differs)
    return parts.joined() + "\(taken) of \(all) keys of this \(tool.rawValue) configuration "
      + "are in the recipe; `qlora validate` checks what it names.\n"
  }
}
