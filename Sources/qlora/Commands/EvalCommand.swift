// `qlora eval`: how well a model predicts, or answers, the rows of a file.
import ArgumentParser
import QLoRAData
import QLoRAHub
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
      message. Rows of the format classification give loss, accuracy and macro F1 instead.

      Example:
        qlora eval --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --data Datasets/tool-calls/test.jsonl \\
          --metric loss,exact_match --json
      """)

  @OptionGroup var base: BaseModelOptions
  @OptionGroup var output: OutputOptions

  @Option(help: "A file of rows: JSON lines, a JSON array, CSV or Parquet.")
  var data: String

  @Option(help: "messages, sharegpt, alpaca, prompt-completion, text or classification.")
  var format = RowFormat.messages.rawValue

  @Option(help: ArgumentHelp("loss, exact_match, or both with a comma.", valueName: "list"))
  var metric = "loss"

  @Option(
    help: ArgumentHelp("Also report by the values of this key of the rows.", valueName: "key"))
  var groupBy: String?

  @Option(parsing: .unconditional, help: "At most so many rows, from the front.")
  var rows: Int?

  @Option(
    parsing: .unconditional, help: "So many prompts with expected and greedy answers, on stderr.")
  var examples = 0

  @Option(
    help: ArgumentHelp(
      "A new file for what each token cost: a line of JSON for each row.", valueName: "file"))
  var tokens: String?

  private var metrics: Set<String> { Set(metric.split(separator: ",").map(String.init)) }

  func validate() throws {
    if RowFormat(rawValue: format) == nil {
      throw ValidationError("--format \"\(format)\" is not a row format.")
    }
    if metrics.isEmpty || !metrics.isSubset(of: ["loss", "exact_match"]) {
      throw ValidationError("--metric takes loss, exact_match, or both with a comma.")
    }
    if let rows, rows < 1 { throw ValidationError("--rows must be at least 1.") }
    if format == RowFormat.classification.rawValue {
      let others = [metric != "loss", groupBy != nil, examples != 0, tokens != nil]
      if others.contains(true) {
        throw ValidationError(
          "--format classification takes neither --metric, --group-by, --examples nor --tokens.")
      }
    }
    if examples < 0 { throw ValidationError("--examples must not be negative.") }
  }

  func run() throws {
    let line = StatusLine(isQuiet: output.json)
    if format == RowFormat.classification.rawValue { return try evaluateClasses(line) }
    var request = EvaluationRequest(
      source: DataSource(
        path: try HubCache.place(of: data), format: RowFormat(rawValue: format) ?? .messages),
      measuresExactMatch: metrics.contains("exact_match"))
    request.groupKey = groupBy
    request.rowLimit = rows
    request.exampleCount = examples
    request.tokensPath = tokens
    let report = try Pipeline.evaluate(base.values(), request) { done, count in
      line.show("evaluating \(done) of \(count)")
    }
    line.clear()
    for example in report.examples { show(example) }
    output.json ? Console.output(json: json(report)) : show(report)
  }

  private func evaluateClasses(_ line: StatusLine) throws {
    let report = try Pipeline.evaluateClasses(
      base.values(), file: try HubCache.place(of: data), limit: rows
    ) { line.show("evaluated \($0) rows") }
    line.clear()
    let members: [(String, JSONValue)] = [
      ("loss", .double(report.loss)), ("accuracy", .double(report.accuracy)),
      ("macroF1", .double(report.macroF1)), ("rows", .int(report.rows)),
    ]
    let classes = report.lines.map { line in
      (
        line.label,
        JSONValue.dictionary([
          ("rows", .int(line.rows)), ("precision", .double(line.precision)),
          ("recall", .double(line.recall)), ("f1", .double(line.f1)),
        ])
      )
    }
    if output.json {
      return Console.output(json: .dictionary(members + [("classes", .dictionary(classes))]))
    }
    for (name, value) in members { Console.output("\(name) \(JSONWriter.text(value))") }
    for (label, values) in classes { Console.output("\(label): \(JSONWriter.text(values))") }
  }

  private func json(_ report: EvaluationReport) -> JSONValue {
    let groups = report.groups.map { ($0.name, JSONValue.dictionary(members($0.counts))) }
    return .dictionary(
      members(report.total) + (groupBy == nil ? [] : [("groups", .dictionary(groups))]))
  }

  private func members(_ counts: EvaluationCounts) -> [(String, JSONValue)] {
    let loss = counts.meanNegativeLogLikelihood
    return [
      ("meanNegativeLogLikelihood", metrics.contains("loss") ? .double(loss) : .null),
      ("perplexity", metrics.contains("loss") ? .double(exp(loss)) : .null),
      ("labelledTokens", .int(counts.labelledTokens)), ("rows", .int(counts.rows)),
      ("exactMatch", metrics.contains("exact_match") ? .double(counts.exactMatch) : .null),
    ]
  }

  private func show(_ report: EvaluationReport) {
    for (name, value) in members(report.total) where !value.isNull {
      Console.output("\(name) \(JSONWriter.text(value))")
    }
    for group in report.groups {
      let text = members(group.counts).filter { !$0.1.isNull }
        .map { "\($0.0) \(JSONWriter.text($0.1))" }.joined(separator: "  ")
      Console.output("\(groupBy ?? "") \(group.name):  \(text)")
    }
  }

  private func show(_ example: EvaluationExample) {
    Console.error("prompt:   \(example.prompt.split(separator: "\n").joined(separator: " ⏎ "))")
    Console.error("expected: \(example.expected)")
    Console.error("answer:   \(example.answer)\n")
  }
}
