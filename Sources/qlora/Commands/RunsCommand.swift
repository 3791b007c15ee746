// `qlora runs`: the runs of a folder, one of them, or the curves of several.
import ArgumentParser
import QLoRAJSON
import QLoRAReport

struct RunsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runs",
    abstract: "Lists runs, shows one, or draws the losses of several.",
    discussion: """
      Example:
        qlora runs ls
        qlora runs plot runs/tool-calls runs/tool-calls-2 --svg compared.svg
      """,
    subcommands: [List.self, Show.self, Plot.self], defaultSubcommand: List.self)

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "ls", abstract: "Lists the runs below a folder.",
      discussion: "Example:\n  qlora runs ls runs")

    @Argument(help: "The folder. (default: runs)")
    var folder: String?

    @OptionGroup var output: OutputOptions

    func run() throws {
      // Before the first run there is no usual folder, which is no mistake.
      if let folder { try RunView.requireFolder(folder) }
      let folder = folder ?? "runs"
      let runs = try RunView.runs(below: folder).map { try RunView($0) }
      if output.json {
        for run in runs { Console.output(json: run.json) }
      } else if runs.isEmpty {
        Console.error("no runs below \(folder)")
      } else {
        Console.output(
          Table.text(
            ["run", "state", "steps", "loss", "evaluation", "time"], runs.map(Self.columns)))
      }
    }

    private static func columns(_ run: RunView) -> [String] {
      func number(_ value: Double?) -> String {
        value.map { ProgressText.decimal($0, 4) } ?? "–"
      }
      let count = run.stepCount.map { "/\($0)" } ?? ""
      return [
        HTMLText.plain(run.path), run.state.rawValue, "\(run.step)\(count)",
        number(run.lastLoss), number(run.evaluationLoss),
        ProgressText.duration(run.history.elapsedSeconds),
      ]
    }
  }

  struct Show: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "show", abstract: "Shows one run: state, numbers, answers, where its files are.",
      discussion: "Example:\n  qlora runs show runs/tool-calls")

    @Argument(help: ArgumentHelp("The run's folder.", valueName: "run-dir"))
    var runDirectory: String

    @OptionGroup var output: OutputOptions

    func run() throws {
      let run = try RunView(runDirectory)
      if output.json { return Console.output(json: run.json) }
      let facts = run.summary
      let width = facts.map(\.name.count).max() ?? 0
      for fact in facts {
        Console.output("\(Table.pad(fact.name, width))  \(HTMLText.plain(fact.text))")
      }
      for sample in run.samples {
        Console.output("\n\(HTMLText.plain(sample.row))")
        for (name, text) in [
          ("expected", sample.expected), ("before", sample.base), ("after", sample.trained),
        ] {
          let lines = HTMLText.plain(text).replacing("\n", with: "\n            ")
          Console.output("  \(Table.pad(name, 8))  \(lines)")
        }
      }
    }
  }

  struct Plot: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "plot", abstract: "Draws the losses of runs into the terminal or a picture.",
      discussion: """
        One run is drawn with its evaluations; several are compared by their smoothed losses.

        Example:
          qlora runs plot runs/tool-calls
          qlora runs plot runs/a runs/b --svg compared.svg
        """)

    @Argument(help: ArgumentHelp("The runs' folders.", valueName: "run-dir"))
    var runDirectories: [String]

    @Option(help: ArgumentHelp("Writes a picture instead; never overwrites.", valueName: "file"))
    var svg: String?

    func run() throws {
      let runs = try runDirectories.map { path in (path, try RunView(path)) }
      if let svg {
        let chart =
          runs.count == 1
          ? runs[0].1.history.lossChart(title: runs[0].1.name)
          : RunHistory.comparison(title: "Loss", runs.map { (name: $0, history: $1.history) })
        try NewFile.write(chart.svg().utf8, to: svg)
        return Console.output(svg)
      }
      let colors = Console.stdoutIsTerminal && Console.wantsColor
      let series =
        runs.count == 1
        ? Self.curves(runs[0].1)
        : runs.map { .init($0, RunHistory.smoothed($1.history.losses)) }
      Console.output(TerminalPlot(series, width: Console.terminalWidth).text(colors: colors))
    }

    private static func curves(_ run: RunView) -> [TerminalPlot.Series] {
      let training = TerminalPlot.Series("training", RunHistory.smoothed(run.history.losses))
      let evaluations = TerminalPlot.Series("validation", run.history.evaluationLosses)
      return run.history.evaluations.isEmpty ? [training] : [training, evaluations]
    }
  }
}
