// The lines of `metrics.jsonl` (Docs/Checkpoints.md has the keys). A log that cannot be written
// never stops a run.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

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

extension EvaluationMetrics {
  package var json: JSONValue {
    .dictionary([
      ("step", .int(step)), ("evalLoss", .double(loss)),
      ("evalLabelledTokens", .int(labelledTokens)),
    ])
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
