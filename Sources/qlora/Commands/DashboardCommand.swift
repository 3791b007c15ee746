// `qlora dashboard`: a run's report in a browser of this machine, while it goes on or afterwards.
import ArgumentParser
import QLoRAPipeline
import QLoRAReport
import QLoRAServing

struct DashboardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "dashboard",
    abstract: "Shows a run in a browser of this machine, live while it goes on.",
    discussion: """
      It reads the run's folder and changes nothing; the run may be of another process, or \
      finished. Prints the address; Ctrl-C ends it. From another machine: \
      ssh -L 8090:127.0.0.1:8090 HOST.

      Example:
        qlora dashboard runs/tool-calls
      """)

  @Argument(help: ArgumentHelp("The run's folder.", valueName: "run-dir"))
  var runDirectory: String

  @Option(parsing: .unconditional, help: "The port on 127.0.0.1; 0 takes any that is free.")
  var port: UInt16 = 8090

  func run() throws {
    // Where there is no run, it is better told here than in the browser.
    _ = try RunView(runDirectory)
    let stop = TrainingRun.stopOnSignals()
    let dashboard = Dashboard(runDirectory)
    try LocalServer(port: port, answer: { .whole(dashboard.answer($0)) }).run(
      ready: { Console.output("http://127.0.0.1:\($0)/") }, until: { stop() != nil })
  }
}
