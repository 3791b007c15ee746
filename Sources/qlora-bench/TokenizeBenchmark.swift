// `qlora-bench tokenize`: how long a tokenizer takes to load and to encode a text, on one thread.
import ArgumentParser
import Foundation
import QLoRASystem
import QLoRAText

struct TokenizeBenchmark: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize", abstract: "Seconds of loading a tokenizer and of encoding a text.")

  @Option(help: "Folder with tokenizer.json or tokenizer.model.")
  var tokenizer: String

  @Option(help: "A file of UTF-8 text.")
  var text: String

  @Option(help: "Rounds of each; the fastest one counts.")
  var rounds = 5

  @Flag(help: "Leave out what goes round a text, and control tokens in it.")
  var plain = false

  func validate() throws {
    guard rounds > 0 else { throw ValidationError("--rounds must be positive") }
  }

  func run() throws {
    let text = try String(contentsOfFile: text, encoding: .utf8)
    let before = ProcessMemory.peakByteCount
    var found = try Tokenizer.load(folder: tokenizer)
    let loadBytes = ProcessMemory.peakByteCount - before
    var (loading, encoding, first) = (Double.infinity, Double.infinity, 0.0)
    for _ in 0..<rounds {
      let seconds = try Self.seconds { found = try Tokenizer.load(folder: tokenizer) }
      loading = min(loading, seconds)
    }
    var count = 0
    for round in 0..<rounds {
      let seconds = Self.seconds {
        count = found.encode(
          text, addSpecialTokens: !plain, recognizesControlTokens: !plain
        ).count
      }
      if round == 0 { first = seconds }
      encoding = min(encoding, seconds)
    }
    print(
      "{\"loadSeconds\": \(loading), \"loadPeakBytes\": \(loadBytes), \"tokens\": \(count), "
        + "\"firstSeconds\": \(first), \"seconds\": \(encoding), "
        + "\"bytes\": \(text.utf8.count)}")
  }

  /// Processor time of this thread: others on the machine do not count.
  private static func seconds(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
    let start = now()
    try body()
    return now() - start
  }
}
