// `qlora chat`: a dialogue in the terminal, or with lines of stdin.
import ArgumentParser
import QLoRADiagnostics
import QLoRAPipeline
import QLoRASystem

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Talks with a model in the terminal.",
    discussion: """
      The model remembers what was said. Ctrl-C stops an answer, Ctrl-D ends; /help lists what \
      else there is. Where stdin is no terminal, each of its lines is a message.

      Example:
        qlora chat --model Models/SmolLM2-135M-Instruct.Q4_1.gguf \\
          --adapter runs/tool-calls/adapter --system "Answer with one JSON tool call."
      """)

  @OptionGroup var base: BaseModelOptions
  @OptionGroup var sampling: SamplingArguments

  @Option(help: "A system message before everything.")
  var system: String?

  func run() throws {
    let stop = TrainingRun.stopOnSignals()
    let session = try ChatSession(try Pipeline.load(base.values()), system: system)
    if Console.stdinIsTerminal { Console.error("/help lists commands; Ctrl-D ends.") }
    while let line = Self.nextLine() {
      if line.hasPrefix("/") {
        obey(line, session)
      } else if line.contains(where: { !$0.isWhitespace }) {
        try answer(line, session, stop)
      }
      // An interrupt has done what it is for; all else means the end.
      if let signal = stop(), signal != SIGINT { return }
      Signals.clear()
    }
    if Console.stdinIsTerminal { Console.error("") }
  }

  private func answer(
    _ line: String, _ session: ChatSession, _ stop: @escaping () -> Int32?
  ) throws {
    do {
      _ = try session.answer(
        to: line, sampling.options, isStopped: { stop() != nil }, emit: Console.outputAnswer)
      Console.output("")
    } catch let problem as Diagnostic where Console.stdinIsTerminal {
      Console.error(Console.colored(problem))
    }
  }

  /// The next line of stdin; nil at its end, and where a signal other than an interrupt came.
  private static func nextLine() -> String? {
    guard Console.stdinIsTerminal else { return Console.line() }
    Console.errorPart("> ")
    while !Console.hasInput(withinMilliseconds: 100) {
      guard let signal = Signals.pending else { continue }
      guard signal == SIGINT else { return nil }
      Signals.clear()
      Console.errorPart("\n> ")
    }
    return Console.line()
  }
}

// MARK: Commands
extension ChatCommand {
  private static let help = """
    /reset          forgets what was said, but not the system message
    /system TEXT    begins anew under another system message, or none
    /undo           takes back the last message and its answer
    /save FILE      writes the dialogue as a row of training data
    /help           lists these
    """

  private func obey(_ line: String, _ session: ChatSession) {
    let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
    let rest = parts.count > 1 ? String(parts[1]) : ""
    switch parts[0] {
    case "/reset": session.reset()
    case "/system": session.setSystem(rest.isEmpty ? nil : rest)
    case "/undo": if !session.undo() { Console.error("there is nothing to take back") }
    case "/save": save(session, rest)
    case "/help": Console.error(Self.help)
    default: Console.error("there is no \(parts[0]); /help lists what there is")
    }
  }

  private func save(_ session: ChatSession, _ path: String) {
    do {
      if path.isEmpty { return Console.error("/save needs the name of a new file") }
      try NewFile.write(session.row.utf8, to: path)
    } catch {
      Console.error((error as? Diagnostic).map(Console.colored) ?? "\(error)")
    }
  }
}
