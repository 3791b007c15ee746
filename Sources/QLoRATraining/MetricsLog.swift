// The lines of `metrics.jsonl` (Docs/Checkpoints.md has the keys). A log that cannot be written
// never stops a run.
import QLoRADiagnostics
import QLoRAJSON

extension StepMetrics {
  package var json: JSONValue {
    .dictionary([
      ("step", .int(step)), ("loss", .double(loss)), ("learningRate", .double(learningRate)),
      ("gradientNorm", .double(gradientNorm)), ("tokens", .int(tokens)),
      ("labelledTokens", .int(labelledTokens)), ("tokensPerSecond", .double(tokensPerSecond)),
      ("peakMemoryBytes", .int(peakMemoryBytes)), ("elapsedSeconds", .double(elapsedSeconds)),
    ])
  }
}

extension StepMetrics {
  /// Reads a line back; what it does not say is NaN or 0. Nil where it is no line of a step, or of
  /// one without a finite loss.
  package init?(json: JSONValue) {
    guard let step = json["step"]?.intValue, let loss = json["loss"]?.doubleValue else {
      return nil
    }
    func number(_ key: String) -> Double { json[key]?.doubleValue ?? .nan }
    func count(_ key: String) -> Int { json[key]?.intValue ?? 0 }
    self.init(
      step: step, loss: loss, learningRate: number("learningRate"),
      gradientNorm: number("gradientNorm"), tokens: count("tokens"),
      labelledTokens: count("labelledTokens"), tokensPerSecond: number("tokensPerSecond"),
      peakMemoryBytes: count("peakMemoryBytes"), elapsedSeconds: number("elapsedSeconds"))
  }
}

extension EvaluationMetrics {
  /// Reads a line back, which does not say whether it was the best so far.
  package init?(json: JSONValue) {
    guard let step = json["step"]?.intValue, let loss = json["evalLoss"]?.doubleValue else {
      return nil
    }
    self.init(
      step: step, loss: loss, labelledTokens: json["evalLabelledTokens"]?.intValue ?? 0,
      isBest: false, accuracy: json["evalAccuracy"]?.doubleValue)
  }

  package var json: JSONValue {
    .dictionary(
      [
        ("step", .int(step)), ("evalLoss", .double(loss)),
        ("evalLabelledTokens", .int(labelledTokens)),
      ] + (accuracy.map { [("evalAccuracy", .double($0))] } ?? []))
  }
}

extension Trainer {
  /// Adds a line; the first failure of a row of them is told.
  func append(_ line: JSONValue) {
    do throws(Diagnostic) {
      try log?.append(line)
      isLogFailing = false
    } catch {
      if !isLogFailing { events(.warning(error)) }
      isLogFailing = true
    }
  }
}
