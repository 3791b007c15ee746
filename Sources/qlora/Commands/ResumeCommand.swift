// `qlora resume`: continues a run from its newest valid checkpoint.
import ArgumentParser
import QLoRAPipeline

struct ResumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Continues a stopped run bit for bit from its newest valid checkpoint.",
    discussion: """
      A finished run only completes whatever export is missing.

      Example:
        qlora resume runs/tool-calls
      """)

  @Argument(help: ArgumentHelp("The run's folder.", valueName: "run-dir"))
  var runDirectory: String

  @OptionGroup var json: OutputOptions

  func run() throws {
    let printer = ProgressPrinter(json: json.json)
    let cache = try BaseCache.standard { printer.show(.training(.warning($0))) }
    let outcome = try Pipeline.resume(
      runDirectory: runDirectory, cache: cache, secondsLeft: JobLimit.secondsLeft
    ) { printer.show($0) }
    try RunEnding.show(outcome, json: json.json)
  }
}
