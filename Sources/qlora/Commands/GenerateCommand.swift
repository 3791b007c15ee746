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

  @Option(help: "Longest answer in tokens.")
  var maxTokens = 256

  @Option(help: "How freely tokens are drawn; 0 always takes the likeliest.")
  var temperature = 0.0

  @Option(help: "Draws from the likeliest tokens whose probabilities sum to this.")
  var topP = 1.0

  @Option(help: "Seed of the draws.")
  var seed: UInt64 = 0

  func validate() throws {
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature must be a number of at least 0.")
    }
    if !(topP > 0 && topP <= 1) {
      throw ValidationError("--top-p must be above 0 and at most 1.")
    }
    if raw, system != nil { throw ValidationError("--raw has no place for --system.") }
  }

  func run() throws {
    var options = GenerationOptions()
    options.prompt = prompt ?? Console.readAll()
    options.system = system
    options.usesTemplate = !raw
    options.maxTokens = maxTokens
    options.temperature = temperature
    options.topP = topP
    options.seed = seed
    let report = try Pipeline.generate(base.values(), options) { piece in
      if !output.json { Console.outputPart(piece) }
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
    .dictionary([
      ("text", .string(report.text)), ("finishReason", .string(report.finishReason)),
      ("promptTokens", .int(report.promptTokens)),
      ("generatedTokens", .int(report.generatedTokens)),
      ("tokensPerSecond", .double(report.tokensPerSecond)),
    ])
  }
}
