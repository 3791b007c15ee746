// The frame of every page: one file without anything from outside, light or dark as the reader's
// system is.

package enum HTMLPage {
  /// - Parameters:
  ///   - title: plain text.
  ///   - body: markup; whatever it quotes is escaped already.
  ///   - style: rules of this page beside the common ones.
  ///   - script: its own code, where it has some.
  package static func text(
    title: String, body: String, style: String = "", script: String? = nil
  ) -> String {
    // Nothing may be fetched, and only the page's own code may run.
    let connects = script == nil ? "" : "; script-src 'unsafe-inline'; connect-src 'self'"
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <meta name="color-scheme" content="light dark">
      <meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
      style-src 'unsafe-inline'\(connects)">
      <title>\(HTMLText.escape(title))</title>
      <style>
      \(common)
      \(style)
      </style>
      </head>
      <body>
      <main>
      \(body)
      </main>
      \(script.map { "<script>\n\($0)\n</script>\n" } ?? "")</body>
      </html>

      """
  }

  private static let common = """
    :root { --page: #f6f8fa; --card: #fff; --text: #1f2328; --quiet: #59636e; --line: #d1d9e0;
      --blue: #0969da; --green: #1a7f37; --orange: #bc4c00; --red: #cf222e;
      --trained: #dafbe1 }
    @media (prefers-color-scheme: dark) {
    :root { --page: #010409; --card: #0d1117; --text: #e6edf3; --quiet: #9198a1; --line: #30363d;
      --blue: #58a6ff; --green: #3fb950; --orange: #f0883e; --red: #ff7b72;
      --trained: #12401f }
    }
    * { box-sizing: border-box }
    body { margin: 0; background: var(--page); color: var(--text);
      font: 15px/1.5 system-ui, sans-serif }
    main { max-width: 1120px; margin: 0 auto; padding: 24px 16px 64px }
    h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; overflow-wrap: anywhere }
    h2 { font-size: 18px; margin: 32px 0 12px }
    p { margin: 0 0 12px }
    .quiet { color: var(--quiet) }
    .card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
      padding: 12px 16px }
    .grid { display: grid; gap: 12px;
      grid-template-columns: repeat(auto-fit, minmax(min(100%, 150px), 1fr)) }
    .figure { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums }
    .badge { display: inline-block; border: 1px solid currentColor; border-radius: 999px;
      padding: 0 10px; font-size: 13px; font-weight: 600 }
    table { border-collapse: collapse; width: 100% }
    th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line);
      vertical-align: top; overflow-wrap: anywhere }
    tr:last-child th, tr:last-child td { border-bottom: 0 }
    th { font-weight: 400; color: var(--quiet) }
    .number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
    pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere;
      font: 13px/1.5 ui-monospace, monospace }
    summary { cursor: pointer; font-weight: 600 }
    """
}
