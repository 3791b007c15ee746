// Shows a run while it goes on: plain lines, a redrawn block on a terminal, or JSON on stdout.
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport
import QLoRATraining

final class ProgressPrinter {
  private let json: Bool
  /// The recipe's, once the run is prepared.
  private var logEvery = 1
  private var saveEvery = 0
  private let isLive: Bool
  private var stepCount = 0
  private var losses: [Double] = []
  private var evaluationLoss: Double?
  /// This process's first step, and the run's seconds at its end.
  private var first: (step: Int, seconds: Double)?
  /// Columns of each line of the block that is on the screen.
  private var drawnColumns: [Int] = []

  init(json: Bool) {
    self.json = json
    isLive = !json && Console.stderrIsTerminal
  }

  func show(_ event: RunEvent) {
    switch event {
    case .loading(let fraction):
      if isLive { draw(["loading the model: \(Int(fraction * 100)) %"]) }
    case .prepared(let summary): show(summary)
    case .training(let event): show(event)
    case .exported(let path): if !json { say("adapter: \(path)") }
    }
  }

  private func show(_ summary: RunSummary) {
    (logEvery, saveEvery) = (max(1, summary.logEvery), summary.saveEvery)
    if json { return Console.output(json: summary.eventJSON) }
    let rows = summary.report
    if let choice = summary.deviceChoice { say(choice) }
    say("\(summary.name) on \(summary.device), into \(summary.output)")
    say(
      "\(summary.trainableParameters) trainable parameters; base weights "
        + ProgressText.size(summary.weightBytes)
        + (summary.layersOnDisk > 0
          ? " in memory, \(summary.layersOnDisk) of \(summary.layers) layers on disk; " : "; ")
        + "\(rows.rows) rows, \(rows.tokens) tokens, \(rows.labelledTokens) of them trained")
    if rows.truncated + rows.dropped > 0 {
      say("\(rows.truncated) rows truncated to data.maxTokens, \(rows.dropped) dropped")
    }
    if rows.controlLookalikes > 0 {
      say("\(rows.controlLookalikes) control tokens spelled in messages, kept as plain text")
    }
  }

  func show(_ event: TrainingEvent) {
    if json {
      if let line = event.jsonValue { Console.output(json: line) }
      return
    }
    switch event {
    case .started(let step, let count, let checkpoint):
      stepCount = count
      say(checkpoint.map { "resumed from \($0): step \(step) of \(count)" } ?? "\(count) steps")
    case .step(let metrics): show(metrics)
    case .evaluating(_, let done, let count):
      if isLive { draw(["evaluating \(done) of \(count)"]) }
    case .evaluation(let metrics):
      evaluationLoss = metrics.loss
      let best = metrics.isBest ? ", the best so far" : ""
      let right = metrics.accuracy.map { ", accuracy \(ProgressText.decimal($0, 4))" } ?? ""
      let loss = ProgressText.decimal(metrics.loss, 4)
      say("step \(metrics.step): evaluation loss \(loss)\(right)\(best)")
    case .checkpointSaved(let step, let path, let seconds):
      say("step \(step): saved \(path) in \(ProgressText.decimal(seconds, 1)) s")
    case .warning(let diagnostic): say("warning: \(diagnostic)")
    case .interrupted(let step, let signal, let path):
      let reason = signal == Deadline.request ? "time is nearly up: " : ""
      let saved = path.map { "after step \(step); saved \($0)" } ?? "while the model was loading"
      say("\(reason)stopped \(saved)")
    case .finished(let step): say("finished after \(step) steps")
    }
  }

  private func show(_ metrics: StepMetrics) {
    losses.append(metrics.loss)
    if losses.count > ProgressText.columns { losses.removeFirst() }
    let left = secondsLeft(metrics).map(ProgressText.duration) ?? "…"
    if isLive {
      let evaluation = evaluationLoss.map { "  evaluation \(ProgressText.decimal($0, 4))" } ?? ""
      let columns = ProgressText.columns(in: Console.terminalWidth)
      draw([
        ProgressText.bar(metrics.step, of: stepCount, columns: columns)
          + "  step \(metrics.step) of \(stepCount)  left \(left)\(nextSave(after: metrics.step))",
        "\(ProgressText.spark(losses, columns: columns))  "
          + "loss \(ProgressText.decimal(metrics.loss, 4))\(evaluation)",
        ProgressText.rates(metrics),
      ])
    } else if metrics.step == 1 || metrics.step % logEvery == 0 || metrics.step == stepCount {
      Console.error(
        "step \(metrics.step) of \(stepCount)  loss \(ProgressText.decimal(metrics.loss, 4))  "
          + "\(ProgressText.rates(metrics))  left \(left)")
    }
  }

  /// At the pace of this process's steps, of which the first also warms up and does not count.
  private func secondsLeft(_ metrics: StepMetrics) -> Double? {
    guard let first else {
      first = (metrics.step, metrics.elapsedSeconds)
      return nil
    }
    let pace = (metrics.elapsedSeconds - first.seconds) / Double(max(1, metrics.step - first.step))
    return pace * Double(max(0, stepCount - metrics.step))
  }

  private func nextSave(after step: Int) -> String {
    saveEvery > 0 ? "  save in \(saveEvery - step % saveEvery)" : ""
  }

  /// A line that stays, above the block.
  private func say(_ text: String) {
    erase()
    Console.error(text)
  }

  /// In one write and over the block before, so that nothing flickers.
  private func draw(_ lines: [String]) {
    // The block must not wrap, or erasing it would leave pieces behind.
    let lines = lines.map { $0.prefix(Console.terminalWidth - 1) }
    let up = rowsOnScreen > 0 ? "\u{1B}[\(rowsOnScreen)F" : ""
    let block = lines.map { $0 + "\u{1B}[K\n" }.joined()
    Console.errorPart(up + block + (lines.count < rowsOnScreen ? "\u{1B}[J" : ""))
    drawnColumns = lines.map(\.count)
  }

  private func erase() {
    if rowsOnScreen > 0 { Console.errorPart("\u{1B}[\(rowsOnScreen)F\u{1B}[J") }
    drawnColumns = []
  }

  /// A terminal that was made narrower has broken the block's lines.
  private var rowsOnScreen: Int {
    let width = Console.terminalWidth
    return drawnColumns.reduce(0) { $0 + max(1, ($1 + width - 1) / width) }
  }
}
