// `qlora manual` and `qlora completions`: what a package installs beside the program.
import ArgumentParser
import QLoRADiagnostics
import QLoRAPipeline
import QLoRASystem

struct ManualCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "manual",
    abstract: "Prints the manual page of a command, or writes them all.",
    discussion: """
      Example:
        qlora manual train | man -l -
      """)

  @Argument(help: "The command; none for that of qlora itself.")
  var command: [String] = []

  @Option(help: ArgumentHelp("An existing folder that all pages go to.", valueName: "dir"))
  var output: String?

  func run() throws {
    let pages = try CommandDescription.root().all.map {
      ManualPage(command: $0, version: ToolVersion.text)
    }
    if let output {
      for page in pages {
        try AtomicFile.write(FilePath.join(output, page.name + ".1"), Array(page.text.utf8))
      }
      return
    }
    let words = ["qlora"] + command
    guard let page = pages.first(where: { $0.command.words == words }) else {
      throw ValidationError("There is no command \"\(words.joined(separator: " "))\".")
    }
    Console.outputPart(page.text)
  }
}

struct CompletionsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "completions",
    abstract: "Prints the completions of a shell: bash, zsh or fish.",
    discussion: """
      Example:
        qlora completions bash > ~/.local/share/bash-completion/completions/qlora
      """)

  @Argument(help: "bash, zsh or fish.")
  var shell: String

  func validate() throws {
    if CompletionShell(rawValue: shell) == nil {
      throw ValidationError("There are completions for bash, zsh and fish, not for \"\(shell)\".")
    }
  }

  func run() throws {
    guard let shell = CompletionShell(rawValue: shell) else { return }
    Console.output(QLoRACommand.completionScript(for: shell))
  }
}
