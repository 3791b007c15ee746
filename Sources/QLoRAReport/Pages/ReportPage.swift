// `report.html`: a run on one page. The same sections are what `qlora dashboard` shows while the
// run goes on.
import QLoRAJSON

package struct ReportPage {
  private let run: RunView

  package init(_ run: RunView) { self.run = run }

  /// The page as a file.
  package var text: String {
    HTMLPage.text(title: run.name, body: sections, style: Self.style)
  }

  /// The page that fetches its sections again whenever `script` says so.
  package func live(script: String) -> String {
    HTMLPage.text(
      title: run.name, body: sections, style: Self.style, script: script)
  }

  /// What stands on the page.
  package var sections: String {
    heading + figures + charts + samples + memory + environment + recipe + card
  }

  private static let style = """
    \(ChartStyle.css)
    .charts { display: grid; gap: 12px; margin-top: 24px;
      grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)) }
    .charts .card { padding: 8px; overflow: hidden }
    .charts .card:first-child { grid-column: 1 / -1 }
    .chart { display: block; width: 100%; height: auto; background: none }
    @media (max-width: 640px) {
    .chart { font-size: 17px } .chart .title { font-size: 20px }
    }
    .running { color: var(--blue) } .finished { color: var(--green) }
    .interrupted, .incomplete { color: var(--orange) } .failed { color: var(--red) }
    .samples { display: grid; gap: 12px }
    .samples th { width: 6.5em; white-space: nowrap }
    .bar { display: block; height: 8px; border-radius: 4px; background: var(--blue) }
    .bars td:last-child { width: 40% ; padding-right: 0; vertical-align: middle }
    progress { width: 100%; accent-color: var(--blue) }
    """

  private func escape(_ text: String) -> String { HTMLText.escape(text) }

  // MARK: Sections

  private var heading: String {
    let facts = [
      run.recipe["model"]?["path"]?.stringValue.map { path in
        path.split(separator: "/").last.map(String.init) ?? path
      },
      run.recipe["model"]?["quantization"]?["type"]?.stringValue.map { "base in \($0)" },
      run.facts.map(\.device),
    ].compactMap { $0 }.map(escape)
    var output = """
      <h1>\(escape(run.name)) \
      <span class="badge \(run.state == .incomplete ? "incomplete" : run.state.rawValue)">\
      \(run.state.rawValue)</span></h1>
      <p class="quiet">\(facts.joined(separator: " · "))</p>

      """
    if run.state == .failed, let failure = run.facts?.failure {
      output += "<p class=\"failed\">\(escape(failure))</p>\n"
    }
    if run.state != .finished, let count = run.stepCount {
      output += "<progress max=\"\(count)\" value=\"\(run.step)\"></progress>\n"
    }
    return output
  }

  private var figures: String {
    let history = run.history
    func number(_ value: Double?, _ places: Int) -> String? {
      value.map { ProgressText.decimal($0, places) }
    }
    let steps = run.stepCount.map { "\(run.step) of \($0)" } ?? "\(run.step)"
    let figures: [(String, String?)] = [
      ("steps", steps),
      ("training loss", number(RunHistory.smoothed(history.losses).last?.value, 4)),
      ("validation loss", number(run.evaluationLoss, 4)),
      ("validation accuracy", number(run.evaluationAccuracy, 4)),
      ("best validation", number(history.bestEvaluation?.loss, 4)),
      ("time", ProgressText.duration(history.elapsedSeconds)),
      ("left", run.state == .running ? run.secondsLeft.map(ProgressText.duration) : nil),
      ("tokens", history.tokens > 0 ? ProgressText.grouped(history.tokens) : nil),
      ("tokens per second", number(history.meanTokensPerSecond, 0)),
      ("peak memory", history.steps.isEmpty ? nil : ProgressText.size(history.peakMemoryBytes)),
      (
        "steps left out or repeated",
        history.nonFiniteCount > 0 ? "\(history.nonFiniteCount)" : nil
      ),
    ]
    let cards = figures.compactMap { name, value in
      value.map {
        "<div class=\"card\"><div class=\"quiet\">\(name)</div>"
          + "<div class=\"figure\">\(escape($0))</div></div>"
      }
    }
    return "<div class=\"grid\">\n\(cards.joined(separator: "\n"))\n</div>\n"
  }

  private var charts: String {
    guard !run.history.steps.isEmpty else {
      return "<p class=\"quiet\">There is no step yet.</p>\n"
    }
    let figures = run.history.charts.map {
      "<div class=\"card\">\($0.svg(isStandalone: false))</div>\n"
    }
    return "<div class=\"charts\">\n\(figures.joined())</div>\n"
  }

  private var samples: String {
    guard !run.samples.isEmpty else { return "" }
    let cards = run.samples.map { sample in
      let rows = [
        ("prompt", sample.prompt), ("expected", sample.expected), ("before", sample.base),
        ("after", sample.trained),
      ]
      let hit = Self.trimmed(sample.trained) == Self.trimmed(sample.expected)
      let cells = rows.map { name, text in
        let mark = name == "after" && hit ? " <span class=\"finished\">✓ as expected</span>" : ""
        return "<tr><th>\(name)</th><td><pre>\(escape(text))</pre>\(mark)</td></tr>"
      }
      return "<div class=\"card\"><div class=\"quiet\">\(escape(sample.row))</div>\n"
        + "<table>\(cells.joined(separator: "\n"))</table></div>\n"
    }
    return "<h2>Answers before and after</h2>\n<div class=\"samples\">\n\(cards.joined())</div>\n"
  }

  private static func trimmed(_ text: String) -> Substring {
    var text = text[...]
    while text.first?.isWhitespace == true { text.removeFirst() }
    while text.last?.isWhitespace == true { text.removeLast() }
    return text
  }

  private var memory: String {
    guard let facts = run.facts, !facts.memory.isEmpty else { return "" }
    let measured = run.history.peakMemoryBytes
    let largest = max(1, facts.plannedBytes, measured)
    func row(_ name: String, _ bytes: Int, strong: Bool = false) -> String {
      let width = ProgressText.decimal(Double(bytes) * 100 / Double(largest), 1)
      let label = strong ? "<b>\(escape(name))</b>" : escape(name)
      return "<tr><td>\(label)</td><td class=\"number\">\(ProgressText.size(bytes))</td>"
        + "<td><span class=\"bar\" style=\"width: \(width)%\"></span></td></tr>\n"
    }
    let parts = facts.memory.filter { $0.bytes > 0 }.map { row($0.name, $0.bytes) }.joined()
    let peaks =
      row("planned peak of a step", facts.plannedBytes, strong: true)
      + (measured > 0 ? row("measured peak of the process", measured, strong: true) : "")
    return "<h2>Memory</h2>\n<div class=\"card\"><table class=\"bars\">\n\(parts)\(peaks)"
      + "</table></div>\n"
  }

  private func table(_ rows: [(String, String)]) -> String {
    let lines = rows.map { "<tr><th>\(escape($0.0))</th><td>\(escape($0.1))</td></tr>\n" }
    return "<table>\n\(lines.joined())</table>\n"
  }

  private var environment: String {
    guard let facts = run.facts else { return "" }
    let rows =
      "\(ProgressText.grouped(facts.rows)) with \(ProgressText.grouped(facts.tokens)) "
      + "tokens, \(ProgressText.grouped(facts.labelledTokens)) of them trained; "
      + "\(facts.truncatedRows) truncated, \(facts.droppedRows) dropped"
    let lines = [
      ("program", facts.tool), ("device", facts.device), ("threads", "\(facts.threads)"),
      ("trained", "\(ProgressText.grouped(facts.trainableParameters)) parameters"),
      ("rows", rows), ("validation rows", ProgressText.grouped(facts.validationRows)),
      ("layers on disk", "\(facts.layersOnDisk)"),
      ("checkpoints", run.checkpointSteps.sorted().map { "step \($0)" }.joined(separator: ", ")),
      ("folder", run.path),
    ]
    return "<h2>Run</h2>\n<div class=\"card\">\(table(lines.filter { !$0.1.isEmpty }))</div>\n"
  }

  private var recipe: String {
    "<h2>Recipe</h2>\n<details class=\"card\"><summary>every value, as the run resolved it"
      + "</summary>\n<pre>\(escape(run.recipeText))</pre></details>\n"
  }

  private var card: String {
    guard let card = run.card else { return "" }
    return "<h2>Model card</h2>\n<details class=\"card\"><summary>adapter/README.md</summary>\n"
      + "<pre>\(escape(card))</pre></details>\n"
  }
}
