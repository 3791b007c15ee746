// `qlora eval`: how well a model predicts, or answers, the rows of a file.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline
import QLoRARecipe

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

struct EvalCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measures loss, perplexity and exact match on a file of rows.",
    discussion: """
      exactMatch is the fraction of rows whose greedy answer, trimmed, equals the last assistant \
      message.

      Example:
        qlora eval --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --data Datasets/tool-calls/test.jsonl \\
          --metric loss,exact_match --json
      """)

  @OptionGroup var base: BaseModelOptions
  @OptionGroup var output: OutputOptions

  @Option(help: "A JSONL file of rows.")
  var data: String

  @Option(help: "messages, sharegpt, alpaca, prompt-completion or text.")
  var format = Recipe.RowFormat.messages.rawValue

  @Option(help: ArgumentHelp("loss, exact_match, or both with a comma.", valueName: "list"))
  var metric = "loss"

  private var metrics: Set<String> { Set(metric.split(separator: ",").map(String.init)) }

  func validate() throws {
    if Recipe.RowFormat(rawValue: format) == nil {
      throw ValidationError("--format \"\(format)\" is not a row format.")
    }
    if metrics.isEmpty || !metrics.isSubset(of: ["loss", "exact_match"]) {
      throw ValidationError("--metric takes loss, exact_match, or both with a comma.")
    }
  }

  func run() throws {
    let line = StatusLine(isQuiet: output.json)
    let report = try Pipeline.evaluate(
      base.values, data: data, format: format, metrics: metrics
    ) { done, count in line.show("evaluating \(done) of \(count)") }
    line.clear()
    output.json ? Console.output(json: json(report)) : show(report)
  }

  private func json(_ report: EvaluationReport) -> JSONValue {
    let loss = report.meanNegativeLogLikelihood
    return .dictionary([
      ("meanNegativeLogLikelihood", loss.map { .double($0) } ?? .null),
      ("perplexity", loss.map { .double(exp($0)) } ?? .null),
      ("labelledTokens", .int(report.labelledTokens)), ("rows", .int(report.rows)),
      ("exactMatch", report.exactMatch.map { .double($0) } ?? .null),
    ])
  }

  private func show(_ report: EvaluationReport) {
    if let loss = report.meanNegativeLogLikelihood {
      Console.output("meanNegativeLogLikelihood \(loss)")
      Console.output("perplexity \(exp(loss))")
      Console.output("labelledTokens \(report.labelledTokens)")
    }
    if let exactMatch = report.exactMatch { Console.output("exactMatch \(exactMatch)") }
    Console.output("rows \(report.rows)")
  }
}
