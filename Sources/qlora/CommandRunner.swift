// Runs one command and turns whatever it throws into text on stderr and an exit code.
import ArgumentParser
import QLoRADiagnostics

/// An end other than success that has already said all there is to say.
struct SilentExit: Error {
  let code: QLoRADiagnostics.ExitCode
}

enum CommandRunner {
  static func run(_ arguments: [String]) -> Int32 {
    do {
      var command = try QLoRACommand.parseAsRoot(arguments)
      try command.run()
      if let number = Console.outputFailure { throw Diagnostic.lostOutput(number) }
      return QLoRADiagnostics.ExitCode.success.rawValue
    } catch {
      return report(error)
    }
  }

  private static func report(_ error: any Error) -> Int32 {
    switch error {
    case let exit as SilentExit: return exit.code.rawValue
    case let diagnostic as Diagnostic:
      Console.error(Console.colored(diagnostic))
      return diagnostic.code.exitCode.rawValue
    case let diagnostics as Diagnostics:
      for diagnostic in diagnostics.all { Console.error(Console.colored(diagnostic)) }
      return exitCode(of: diagnostics).rawValue
    case let error as any DiagnosableError: return report(error.diagnostic)
    default: return reportUnknown(error)
    }
  }

  /// Of several failures: a wrong recipe counts before a missing input, because its author can
  /// mend it at once.
  private static func exitCode(of diagnostics: Diagnostics) -> QLoRADiagnostics.ExitCode {
    let codes = diagnostics.all.map(\.code.exitCode)
    return codes.contains(.usage) ? .usage : codes.first ?? .internalError
  }

  /// Help, usage errors of the parser, and errors that no diagnostic describes.
  private static func reportUnknown(_ error: any Error) -> Int32 {
    let code = QLoRACommand.exitCode(for: error)
    let message = QLoRACommand.fullMessage(for: error)
    if code.isSuccess {
      Console.output(message)
      return code.rawValue
    }
    if code == .validationFailure {
      let reason = QLoRACommand.message(for: error)
      Console.error(Console.colored(Diagnostic(.wrongArguments, reason)))
      // What the parser adds: help on the argument, and how the command is used.
      let plain = "Error: \(reason)\n"
      if message.hasPrefix(plain) { Console.error(String(message.dropFirst(plain.count))) }
      return QLoRADiagnostics.ExitCode.usage.rawValue
    }
    Console.error(
      Console.colored(Diagnostic(.unexpected, "\(error)", remedy: "please report this as a bug")))
    return QLoRADiagnostics.ExitCode.internalError.rawValue
  }
}
