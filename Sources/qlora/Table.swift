// Columns of text for a terminal.

enum Table {
  /// A heading and rows; the last column stands to the right, the others to the left.
  static func text(_ heading: [String], _ rows: [[String]]) -> String {
    let lines = [heading] + rows
    let widths = heading.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
    return lines.map { line in
      line.enumerated().map { column, cell in
        let isLast = column == heading.count - 1
        return isLast
          ? String(repeating: " ", count: widths[column] - cell.count) + cell
          : pad(cell, widths[column])
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }

  static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }
}
