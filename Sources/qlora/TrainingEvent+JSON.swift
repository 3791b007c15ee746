// Training events as the lines of `--json`; Docs/CommandLine.md describes them.
import QLoRAJSON
import QLoRAPipeline
import QLoRATraining

extension TrainingEvent {
  /// Nil for events that only matter on a screen, and for the end, which the command writes.
  var jsonValue: JSONValue? {
    switch self {
    case .started(let step, let count, let checkpoint):
      .dictionary([
        ("event", "started"), ("step", .int(step)), ("steps", .int(count)),
        ("resumedFrom", checkpoint.map { .string($0) } ?? .null),
      ])
    case .step(let metrics): metrics.eventJSON
    case .evaluation(let metrics):
      .dictionary(
        [
          ("event", "evaluation"), ("step", .int(metrics.step)),
          ("evalLoss", .double(metrics.loss)),
          ("labelledTokens", .int(metrics.labelledTokens)), ("isBest", .bool(metrics.isBest)),
        ] + (metrics.accuracy.map { [("evalAccuracy", .double($0))] } ?? []))
    case .checkpointSaved(let step, let path, let seconds):
      .dictionary([
        ("event", "checkpoint"), ("step", .int(step)), ("path", .string(path)),
        ("seconds", .double(seconds)),
      ])
    case .warning(let diagnostic):
      .dictionary([
        ("event", "warning"), ("code", .string(diagnostic.code.number)),
        ("message", .string("\(diagnostic)")),
      ])
    case .evaluating, .interrupted, .finished: nil
    }
  }
}

extension StepMetrics {
  fileprivate var eventJSON: JSONValue {
    .dictionary([
      ("event", "step"), ("step", .int(step)), ("loss", .double(loss)),
      ("learningRate", .double(learningRate)), ("gradientNorm", .double(gradientNorm)),
      ("tokens", .int(tokens)), ("labelledTokens", .int(labelledTokens)),
      ("tokensPerSecond", .double(tokensPerSecond)), ("peakMemoryBytes", .int(peakMemoryBytes)),
      ("elapsedSeconds", .double(elapsedSeconds)),
    ])
  }
}

extension RunSummary {
  var eventJSON: JSONValue {
    .dictionary([
      ("event", "prepared"), ("name", .string(name)), ("device", .string(device)),
      ("deviceChoice", deviceChoice.map { .string($0) } ?? .null),
      ("output", .string(output)), ("trainableParameters", .int(trainableParameters)),
      ("weightBytes", .int(weightBytes)), ("layersOnDisk", .int(layersOnDisk)),
      ("steps", .int(stepCount)), ("rows", .int(report.rows)),
      ("tokens", .int(report.tokens)), ("labelledTokens", .int(report.labelledTokens)),
      ("truncatedRows", .int(report.truncated)), ("droppedRows", .int(report.dropped)),
      ("controlLookalikes", .int(report.controlLookalikes)),
      ("validationRows", .int(validationRows)),
    ])
  }
}
