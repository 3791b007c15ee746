// `qlora resume`: continues a run from its newest valid checkpoint.
import ArgumentParser
import QLoRAPipeline
import QLoRARecipe

struct ResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Continues a stopped run bit for bit from its newest valid checkpoint.",
    discussion: """
      A finished run only completes whatever export is missing.

      Example:
        qlora resume runs/tool-calls
        qlora resume runs/tool-calls --set model.path=elsewhere/model
      """)

  @Argument(help: ArgumentHelp("The run's folder.", valueName: "run-dir"))
  var runDirectory: String

  @Option(
    name: .customLong("set"), parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Where an input is now that was moved: model.path, adapter.initializeFrom, data.train.0.path "
        + "and their like. May be repeated.", valueName: "key=path"))
  var settings: [String] = []

  @OptionGroup var json: OutputOptions

  func run() throws {
    let printer = ProgressPrinter(json: json.json)
    let cache = try BaseCache.standard { printer.show(.training(.warning($0))) }
    let outcome = try Pipeline.resume(
      runDirectory: runDirectory, moved: settings.map { try RecipeOverride(moving: $0) },
      cache: cache, secondsLeft: JobLimit.secondsLeft
    ) { printer.show($0) }
    try RunEnding.show(outcome, json: json.json)
  }
}
