// `qlora explain`: what an error code means and what to do.
import ArgumentParser
import QLoRADiagnostics
import QLoRAJSON

struct ExplainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "explain",
    abstract: "Explains an error code, or lists them all.",
    discussion: """
      Example:
        qlora explain E0102
      """)

  @Argument(help: "A code such as E0102; without one, all codes are listed.")
  var code: String?

  @OptionGroup var output: OutputOptions

  func run() throws {
    guard let code else {
      for known in DiagnosticCode.all { show(known, brief: true) }
      return
    }
    let number = code.uppercased()
    guard let found = DiagnosticCode.all.first(where: { $0.number == number }) else {
      throw Diagnostic(
        .unknownCode, "there is no code \"\(code)\"", remedy: "`qlora explain` lists all codes")
    }
    show(found, brief: false)
  }

  private func show(_ code: DiagnosticCode, brief: Bool) {
    if output.json {
      Console.output(
        json: .dictionary([
          ("code", .string(code.number)), ("exitCode", .int(Int(code.exitCode.rawValue))),
          ("explanation", .string(code.explanation)),
        ]))
    } else if brief {
      let sentence = code.explanation.prefix { $0 != "." && $0 != ":" }
      Console.output("\(code.number)  exit \(code.exitCode.rawValue)  \(sentence)")
    } else {
      Console.output("\(code.number) (exit code \(code.exitCode.rawValue))\n\(code.explanation)")
    }
  }
}
