// What a run's `metrics.jsonl` says, as numbers.
import QLoRAJSON
import QLoRATraining

package struct RunHistory: Sendable, Equatable {
  package private(set) var steps: [StepMetrics] = []
  package private(set) var evaluations: [EvaluationMetrics] = []
  /// Steps that were left out or rolled back.
  package private(set) var nonFiniteCount = 0

  /// Lines that are none of ours, or torn, are passed over.
  package init(metrics bytes: [UInt8]) {
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      guard let json = try? JSONValue(parsing: line) else { continue }
      if let metrics = StepMetrics(json: json) {
        steps.append(metrics)
      } else if let metrics = EvaluationMetrics(json: json) {
        evaluations.append(metrics)
      } else if json["nonFinite"] != nil {
        nonFiniteCount += 1
      }
    }
  }

  package var bestEvaluation: EvaluationMetrics? {
    evaluations.filter(\.loss.isFinite).min { $0.loss < $1.loss }
  }

  package var tokens: Int { steps.reduce(0) { $0 + $1.tokens } }
  package var peakMemoryBytes: Int { steps.map(\.peakMemoryBytes).max() ?? 0 }
  package var elapsedSeconds: Double { steps.last?.elapsedSeconds ?? 0 }

  /// Tokens by the time of the steps alone.
  package var meanTokensPerSecond: Double? {
    let timed = steps.filter { $0.tokensPerSecond > 0 }
    let seconds = timed.reduce(0) { $0 + Double($1.tokens) / $1.tokensPerSecond }
    return seconds > 0 ? Double(timed.reduce(0) { $0 + $1.tokens }) / seconds : nil
  }
}
