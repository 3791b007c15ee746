// The facts of a run as `qlora runs show` tells them.

extension RunView {
  package var summary: [(name: String, text: String)] {
    func number(_ value: Double?) -> String? { value.map { ProgressText.decimal($0, 4) } }
    let best = history.bestEvaluation.map { found in
      "\(ProgressText.decimal(found.loss, 4)) at step \(found.step)"
        + (checkpoint(step: found.step).map { ", saved in \($0)" } ?? "")
    }
    let steps = checkpointSteps.sorted().map(String.init).joined(separator: ", ")
    let facts: [(String, String?)] = [
      ("run", path), ("name", name), ("state", state.rawValue),
      ("error", state == .failed ? facts?.failure : nil),
      ("steps", stepCount.map { "\(step) of \($0)" } ?? "\(step)"),
      ("training loss", number(lastLoss)), ("validation loss", number(evaluationLoss)),
      ("validation accuracy", number(evaluationAccuracy)),
      ("best", best),
      ("time", ProgressText.duration(history.elapsedSeconds)),
      ("left", state == .running ? secondsLeft.map(ProgressText.duration) : nil),
      ("tokens per second", history.meanTokensPerSecond.map { ProgressText.decimal($0, 0) }),
      (
        "peak memory",
        history.peakMemoryBytes > 0 ? ProgressText.size(history.peakMemoryBytes) : nil
      ),
      ("checkpoints", steps.isEmpty ? nil : "step \(steps)"),
      ("model", recipe["model"]?["path"]?.stringValue), ("device", facts?.device),
      ("continue with", [.interrupted, .failed].contains(state) ? "qlora resume \(path)" : nil),
    ]
    return facts.compactMap { name, text in text.map { (name, $0) } }
  }
}
