// The arguments that every command which writes answers takes.
import ArgumentParser
import QLoRAModels
import QLoRAPipeline

struct SamplingArguments: ParsableArguments {
  @Option(parsing: .unconditional, help: "Longest answer in tokens.")
  var maxTokens = 256

  @Option(
    parsing: .unconditional, help: "How freely tokens are drawn; 0 always takes the likeliest.")
  var temperature = 0.0

  @Option(
    parsing: .unconditional,
    help: "Draws from the likeliest tokens whose probabilities sum to this.")
  var topP = 1.0

  @Option(parsing: .unconditional, help: "Draws from so many of the likeliest tokens; 0 means all.")
  var topK = 0

  @Option(
    parsing: .unconditional,
    help: "Draws from tokens at least this times as likely as the likeliest.")
  var minP = 0.0

  @Option(
    parsing: .unconditional, help: "Makes tokens that were there already less likely; 1 does not.")
  var repetitionPenalty = 1.0

  @Option(parsing: .unconditional, help: "Seed of the draws.")
  var seed: UInt64 = 0

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("Ends the answer before this text. May be repeated.", valueName: "text"))
  var stop: [String] = []

  func validate() throws {
    if maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    if !(temperature >= 0 && temperature.isFinite) {
      throw ValidationError("--temperature must be a number of at least 0.")
    }
    if !(topP > 0 && topP <= 1) {
      throw ValidationError("--top-p must be above 0 and at most 1.")
    }
    if topK < 0 { throw ValidationError("--top-k must not be negative.") }
    if !(minP >= 0 && minP <= 1) { throw ValidationError("--min-p must be between 0 and 1.") }
    if !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
      throw ValidationError("--repetition-penalty must be above 0.")
    }
    if stop.contains("") { throw ValidationError("--stop must not be empty.") }
  }

  var options: AnswerOptions {
    var options = AnswerOptions()
    options.maxTokens = maxTokens
    options.sampling.temperature = temperature
    options.sampling.topP = topP
    options.sampling.topK = topK
    options.sampling.minP = minP
    options.sampling.repetitionPenalty = repetitionPenalty
    options.sampling.seed = seed
    options.stop = stop
    return options
  }
}
