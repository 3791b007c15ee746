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

/// The losses that a run's log holds, for its picture.
package struct LossHistory: Sendable, Equatable {
  package private(set) var training: [LossChart.Point] = []
  package private(set) var evaluations: [LossChart.Point] = []

  /// Lines that are none of ours, or torn, are passed over.
  package init(metrics bytes: [UInt8]) {
    for line in bytes.split(separator: UInt8(ascii: "\n")) {
      guard let json = try? JSONValue(parsing: line), let step = json["step"]?.intValue else {
        continue
      }
      if let loss = json["loss"]?.doubleValue {
        training.append(.init(step: step, loss: loss))
      } else if let loss = json["evalLoss"]?.doubleValue {
        evaluations.append(.init(step: step, loss: loss))
      }
    }
  }
}

extension RunDirectory {
  /// Draws `loss.svg` from `metrics.jsonl`.
  ///
  /// - Throws: a diagnostic; the picture before, if any, stays.
  package func drawLosses(title: String) throws {
    let bytes = try diagnosing { () throws(FileFailure) in try fileSystem.readAll(metricsPath) }
    let losses = LossHistory(metrics: bytes)
    let chart = LossChart(
      title: title, training: losses.training, evaluations: losses.evaluations)
    try AtomicFile.write(lossChartPath, Array(chart.svg.utf8), fileSystem)
  }
}
