// The last words of `train` and `resume`, and their exit code.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAPipeline

enum RunEnding {
  /// Prints the adapter's path as data, or says how to go on.
  ///
  /// - Throws: `SilentExit` with 75 where a signal stopped the run.
  static func show(_ outcome: RunOutcome, json: Bool) throws {
    if json {
      Console.output(
        json: .dictionary([
          ("event", .string(outcome.interrupted ? "interrupted" : "finished")),
          ("step", .int(outcome.step)), ("run", .string(outcome.runDirectory)),
          ("adapter", outcome.adapterPath.map { .string($0) } ?? .null),
          ("evalLoss", outcome.evalLoss.map { .double($0) } ?? .null),
        ]))
    } else if let adapter = outcome.adapterPath, !outcome.interrupted {
      Console.output(adapter)
    }
    if outcome.interrupted {
      Console.error("continue with: qlora resume \(outcome.runDirectory)")
      throw SilentExit(code: .stoppedResumable)
    }
  }
}
