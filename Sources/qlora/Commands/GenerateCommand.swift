// `qlora generate`: an answer to one prompt, printed as it grows.
import ArgumentParser
import QLoRAJSON
import QLoRAPipeline

struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Generates text from a prompt.",
    discussion: """
      Without --prompt the prompt is read from stdin. Temperature 0 always takes the likeliest \
      token.

      Example:
        qlora generate --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --prompt "Dim the kitchen lights to 30 %"
      """)

  @OptionGroup var base: BaseModelOptions
  @OptionGroup var output: OutputOptions

  @Option(help: "The user's message, or with --raw the text to continue.")
  var prompt: String?

  @Option(help: "A system message before it.")
  var system: String?

  @Flag(help: "Continues the prompt as it is, without the chat template.")
  var raw = false

  @OptionGroup var sampling: SamplingArguments

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "With --json: how likely the model held each token, and so many of the likeliest.",
      valueName: "count"))
  var logprobs: Int?

  func validate() throws {
    if let logprobs {
      if !(0...100).contains(logprobs) {
        throw ValidationError("--logprobs must be between 0 and 100.")
      }
      if !output.json { throw ValidationError("--logprobs needs --json.") }
    }
    if raw, system != nil { throw ValidationError("--raw has no place for --system.") }
  }

  func run() throws {
    var options = GenerationOptions()
    options.prompt = prompt ?? Console.readAll()
    options.system = system
    options.usesTemplate = !raw
    options.answer = sampling.options
    options.answer.scores = logprobs
    let report = try Pipeline.generate(base.values(), options) { piece in
      if !output.json { Console.outputAnswer(piece) }
    }
    if output.json {
      Console.output(json: json(report))
    } else {
      Console.output("")
      let speed = Int(report.tokensPerSecond.rounded())
      Console.error("\(report.generatedTokens) tokens, \(speed) per second")
    }
  }

  private func json(_ report: GenerationReport) -> JSONValue {
    .dictionary(
      [
        ("text", .string(report.text)), ("finishReason", .string(report.finishReason.rawValue)),
        ("promptTokens", .int(report.promptTokens)),
        ("generatedTokens", .int(report.generatedTokens)),
        ("tokensPerSecond", .double(report.tokensPerSecond)),
      ] + (logprobs == nil ? [] : [("logprobs", .list(report.scores.map(Self.json)))]))
  }

  private static func json(_ score: ScoredToken) -> JSONValue {
    let best = score.best.map { JSONValue.dictionary(members($0)) }
    return .dictionary(members(score.chosen) + [("top", .list(best))])
  }

  private static func members(_ entry: ScoredToken.Entry) -> [(String, JSONValue)] {
    [
      ("token", .string(entry.text)), ("bytes", .list(entry.bytes.map { .int(Int($0)) })),
      ("logprob", .double(entry.logProbability)),
    ]
  }
}
