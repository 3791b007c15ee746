// Measured steps as a person reads them, and as JSON.
import QLoRAJSON
import QLoRAPipeline
import QLoRAReport

extension RunTrial {
  var jsonMember: JSONMember {
    JSONMember(
      "measured",
      .dictionary([
        ("loadSeconds", .double(loadSeconds)),
        (
          "steps",
          .list(
            steps.map { step in
              .dictionary([
                ("step", .int(step.step)), ("tokens", .int(step.tokens)),
                ("seconds", .double(step.seconds)),
              ])
            })
        ), ("tokensPerSecond", .double(tokensPerSecond)),
        ("evaluationSeconds", evaluationSeconds.map { .double($0) } ?? .null),
        ("evaluations", .int(evaluations)), ("saveSeconds", .double(saveSeconds)),
        ("saves", .int(saves)), ("totalSeconds", .double(totalSeconds)),
        ("peakMemoryBytes", .int(peakBytes)),
      ]))
  }

  func text(predictedPeakBytes: Int) -> String {
    let times = steps.map { step in
      ["step \(step.step)", "\(step.tokens) tokens", seconds(step.seconds)]
    }
    let difference = (Double(predictedPeakBytes) / Double(max(1, peakBytes)) - 1) * 100
    let sign = difference < 0 ? "" : "+"
    let facts = [
      ["loading", "", seconds(loadSeconds)],
      [
        "evaluation", evaluationSeconds == nil ? "none" : "\(evaluations) times",
        evaluationSeconds.map(seconds) ?? "",
      ],
      ["saving", "\(saves) times", seconds(saveSeconds)],
      ["pace", "", "\(ProgressText.decimal(tokensPerSecond, 1)) tokens/s"],
      ["the whole run", "", ProgressText.duration(totalSeconds)],
      [
        "peak", ProgressText.size(peakBytes),
        "predicted \(ProgressText.size(predictedPeakBytes)) "
          + "(\(sign)\(ProgressText.decimal(difference, 1)) %)",
      ],
    ]
    return Table.text(["measured", "", ""], times + facts)
  }

  private func seconds(_ value: Double) -> String { "\(ProgressText.decimal(value, 2)) s" }
}
