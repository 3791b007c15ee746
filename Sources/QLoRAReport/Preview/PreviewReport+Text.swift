// A preview in a terminal: rows with their borders, and trained text in colour or in brackets.

extension PreviewReport {
  /// - Parameters:
  ///   - colors: trained text in green; else in brackets.
  ///   - width: columns to break lines at; nil breaks none.
  package func text(colors: Bool, width: Int?) -> String {
    let body = sequences.map { sequence in
      var writer = PreviewWriter(colors: colors, width: width)
      for (index, row) in sequence.rows.enumerated() { writer.add(row, isFirst: index == 0) }
      return "\(sequence.title)\n  \(Self.text(sequence.counts))\n\(writer.finish())"
    }
    let width = summary.map(\.name.count).max() ?? 0
    let facts = summary.map { name, text in
      name + String(repeating: " ", count: width - name.count) + "  " + HTMLText.plain(text)
    }
    return body.joined(separator: "\n") + "\nall rows\n"
      + facts.map { "  \($0)\n" }.joined()
  }
}

/// Draws the rows of a sequence line by line.
private struct PreviewWriter {
  private static let green = "\u{1B}[32m"
  private static let dim = "\u{1B}[2m"
  private static let plain = "\u{1B}[0m"

  private let colors: Bool
  /// Columns for text within the border.
  private let room: Int
  private var output = ""
  private var column = 0
  /// Whether a line waits for its first character; none may follow.
  private var isBetweenLines = true
  private var isOpen = false

  init(colors: Bool, width: Int?) {
    self.colors = colors
    // Narrower, the borders would be all that is left.
    room = max(20, (width ?? .max) - 2)
  }

  mutating func add(_ row: PreviewReport.Row, isFirst: Bool) {
    if !isFirst { endLine() }
    let last = row.start + row.tokens.count - 1
    let packed = isFirst ? "" : "; positions begin at 0 again"
    output += border(
      "\(isFirst ? "┌" : "├") \(HTMLText.plain(row.name)): tokens \(row.start)–\(last), "
        + "\(HTMLText.plain(row.learnt))\(packed)\n")
    isBetweenLines = true
    for token in row.tokens {
      if token.isTrained != isOpen { switchTo(token.isTrained) }
      for character in HTMLText.plain(token.text) { add(character) }
    }
    if isOpen { switchTo(false) }
  }

  mutating func finish() -> String {
    endLine()
    return output + border("└\n")
  }

  private mutating func add(_ character: Character) {
    if character == "\n" {
      add("↵")
      return endLine()
    }
    if column == room { endLine() }
    if isBetweenLines { beginLine() }
    output.append(character)
    column += 1
  }

  private mutating func switchTo(_ trained: Bool) {
    isOpen = trained
    if colors {
      // A line that has not begun begins in its colour.
      if !isBetweenLines { output += trained ? Self.green : Self.plain }
    } else {
      add(trained ? "[" : "]")
    }
  }

  private mutating func beginLine() {
    isBetweenLines = false
    output += border("│ ")
    if isOpen, colors { output += Self.green }
    column = 0
  }

  private mutating func endLine() {
    if isBetweenLines { return }
    isBetweenLines = true
    if isOpen, colors { output += Self.plain }
    output += "\n"
  }

  private func border(_ text: String) -> String {
    colors ? Self.dim + text + Self.plain : text
  }
}
