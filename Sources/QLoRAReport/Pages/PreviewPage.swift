// A preview as a page: tokens by colour, each with its id, place, row and author under the pointer.
import QLoRAData

extension PreviewReport {
  /// A file of its own.
  package var html: String {
    let facts = summary.map { name, text in
      "<tr><th>\(HTMLText.escape(name))</th><td>\(HTMLText.escape(text))</td></tr>\n"
    }
    let legend =
      "<p><span class=\"t\">trained</span> <span class=\"quiet\">· not trained · "
      + "</span><span class=\"c\">written by the template</span><span class=\"quiet\"> · "
      + "a line between rows: positions begin at 0 again, and nobody attends across it</span></p>"
    let body = """
      <h1>\(HTMLText.escape(name))</h1>
      <p class="quiet">The first \(sequences.count) in training order, and all rows.</p>
      <div class="card"><table>
      \(facts.joined())</table></div>
      <h2>Sequences</h2>
      \(legend)
      \(sequences.map(Self.html).joined(separator: "\n"))
      """
    return HTMLPage.text(title: "\(name): preview", body: body, style: Self.style)
  }

  private static let style = """
    .packing { display: flex; gap: 2px; height: 14px; margin: 8px 0; overflow: hidden;
      border-radius: 4px }
    .packing span { display: flex; background: var(--line); min-width: 1px }
    .packing .t { border-radius: 0; background: var(--green) }
    .row { border-top: 1px solid var(--line); padding: 8px 0 }
    .row pre { font-size: 14px }
    .row pre span:hover { outline: 1px solid var(--blue) }
    .t { background: var(--trained); border-radius: 2px }
    .c { color: var(--quiet) }
    .sequence { margin-bottom: 16px }
    .sequence h3 { margin: 0; font-size: 15px }
    """

  private static func html(_ sequence: Sequence) -> String {
    let parts = sequence.rows.map { row in
      "<span style=\"flex: \(row.tokens.count)\" title=\"\(title(row))\">"
        + stretches(row) + "</span>"
    }
    return """
      <div class="card sequence">
      <h3>\(HTMLText.escape(sequence.title))</h3>
      <div class="quiet">\(text(sequence.counts))</div>
      <div class="packing">\(parts.joined())</div>
      \(sequence.rows.map(html).joined())</div>
      """
  }

  /// What is trained of a row, where it is.
  private static func stretches(_ row: Row) -> String {
    var parts = ""
    var rest = row.tokens[...]
    while let first = rest.first {
      let stretch = rest.prefix { $0.isTrained == first.isTrained }
      parts += first.isTrained ? "<i class=\"t\"" : "<i"
      parts += " style=\"flex: \(stretch.count)\"></i>"
      rest = rest[stretch.endIndex...]
    }
    return parts
  }

  private static func title(_ row: Row) -> String {
    HTMLText.escape(
      "\(row.name): tokens \(row.start)–\(row.start + row.tokens.count - 1), "
        + row.learnt)
  }

  private static func html(_ row: Row) -> String {
    let tokens = row.tokens.map { token in
      let style = [token.isTrained ? "t" : "", token.origin == .template ? "c" : ""]
        .filter { !$0.isEmpty }.joined(separator: " ")
      let hint =
        "\(row.name), token \(token.index), position \(token.index - row.start), "
        + "id \(token.id), \(token.origin.name)\(token.isTrained ? ", trained" : "")"
      // A line break shows where it is, too.
      let text = HTMLText.escape(token.text).replacing("\n", with: "↵\n")
      return "<span\(style.isEmpty ? "" : " class=\"\(style)\"") "
        + "title=\"\(HTMLText.escape(hint))\">\(text)</span>"
    }
    return "<div class=\"row\"><div class=\"quiet\">\(title(row))</div>\n"
      + "<pre>\(tokens.joined())</pre></div>\n"
  }
}
