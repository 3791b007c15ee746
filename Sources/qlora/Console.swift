// The two streams: stdout carries data, stderr everything that is said to a person.
import QLoRADiagnostics
import QLoRAJSON
import QLoRAReport
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif
#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

enum Console {
  static func output(_ text: String) { send(text + "\n", to: STDOUT_FILENO) }

  /// Text without a newline, for pieces of a growing answer.
  static func outputPart(_ text: String) { send(text, to: STDOUT_FILENO) }

  /// A piece of what a model says, which must not move the cursor of a terminal.
  static func outputAnswer(_ text: String) {
    outputPart(stdoutIsTerminal ? HTMLText.plain(text) : text)
  }

  /// One object on a line of its own.
  static func output(json value: JSONValue) { output(JSONWriter.text(value)) }

  static func error(_ text: String) { send(text + "\n", to: STDERR_FILENO) }

  static func errorPart(_ text: String) { send(text, to: STDERR_FILENO) }

  /// Whether stderr is a terminal on which lines can be redrawn and coloured.
  static let stderrIsTerminal = isTerminal(STDERR_FILENO)
  static let stdoutIsTerminal = isTerminal(STDOUT_FILENO)
  static let stdinIsTerminal = isTerminal(STDIN_FILENO)

  /// The diagnostic's text, with its `error[…]` in red on a terminal.
  static func colored(_ diagnostic: Diagnostic) -> String {
    let mark = "error[\(diagnostic.code.number)]"
    let text = diagnostic.description
    guard stderrIsTerminal, wantsColor, let range = text.firstRange(of: mark) else { return text }
    return "\(text[..<range.lowerBound])\u{1B}[1;31m\(mark)\u{1B}[0m\(text[range.upperBound...])"
  }

  static let wantsColor: Bool = {
    let environment = ProcessInfo.processInfo.environment
    return (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
  }()

  private static func isTerminal(_ descriptor: Int32) -> Bool {
    isatty(descriptor) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
  }

  /// Columns of the terminal at stderr; 80 where it does not say.
  static var terminalWidth: Int {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
    return Int(size.ws_col)
  }

  /// All of stdin, without the newline at its end.
  static func readAll() -> String {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      // SAFETY: the kernel writes at most the buffer's own length, inside the closure's lifetime.
      let count = chunk.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Whether a line, or the end, is at stdin; waits for it so long at most.
  static func hasInput(withinMilliseconds limit: Int32) -> Bool {
    var wanted = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    return poll(&wanted, 1, limit) > 0
  }

  /// The next line of stdin, or nil at its end.
  static func line() -> String? {
    // Where a signal came earlier, `readLine` takes the end for one more and waits for ever.
    errno = 0
    return readLine()
  }

  /// Why data on stdout were lost, such as a full disk; nil where they were not.
  static var outputFailure: Int32? {
    let number = lostOutput.withLock { $0 }
    return number == 0 ? nil : number
  }

  static func text(ofError number: Int32) -> String { String(cString: strerror(number)) }

  private static let lostOutput = Mutex<Int32>(0)

  /// Writes everything; a reader that has gone away is not our failure.
  private static func send(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      // SAFETY: the kernel reads the buffer's own length, inside the closure's lifetime.
      let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if written < 0, errno == EINTR { continue }
      guard written > 0 else {
        let number = written < 0 ? errno : EIO
        if descriptor == STDOUT_FILENO, number != EPIPE { lostOutput.withLock { $0 = number } }
        return
      }
      bytes = bytes.dropFirst(written)
    }
  }
}
