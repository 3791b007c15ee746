// An append-only log of JSON lines that a resumed run continues at an exact byte. A line is in the
// file whole or not at all, except for a tear at the very end, which the next start cuts off.
import QLoRADiagnostics
import QLoRAJSON

/// Writes `metrics.jsonl`. A full disk does not stop it: lines wait in memory for the next try.
package final class JSONLinesWriter {
  package let path: String
  private let fileSystem: any FileSystem
  private let file: OpenFile
  private var waiting: [UInt8] = []
  /// Bytes of whole lines in the file.
  package private(set) var byteCount: Int

  /// Opens the log and keeps its first `byteCount` bytes, or, where it is shorter, its whole lines.
  package init(
    _ path: String, keeping byteCount: Int, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    self.path = path
    self.fileSystem = fileSystem
    (file, self.byteCount) = try diagnosing { () throws(FileFailure) in
      let existing = try fileSystem.status(path) == nil ? [] : try fileSystem.readAll(path)
      let kept = existing.prefix(byteCount)
      let whole = kept.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
      let file = try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.openForAppending(path)
      }
      if whole != existing.count {
        try retryingInterruptions { () throws(FileFailure) in
          try fileSystem.truncate(file, to: whole)
        }
      }
      return (file, whole)
    }
  }

  deinit { fileSystem.close(file) }

  /// Adds one line.
  /// - Throws: a diagnostic; the line is kept and written by a later call.
  package func append(_ value: JSONValue) throws(Diagnostic) {
    waiting.append(contentsOf: JSONWriter.text(value, style: .spaced).utf8)
    waiting.append(UInt8(ascii: "\n"))
    try flush()
  }

  private func flush() throws(Diagnostic) {
    guard !waiting.isEmpty else { return }
    do {
      try waiting.withUnsafeBytes { try fileSystem.writeAll(file, $0) }
    } catch {
      // Half a line may be there; the next try starts from whole ones.
      try? fileSystem.truncate(file, to: byteCount)
      throw (error as? FileFailure ?? FileFailure(.write, path, 0)).diagnostic
    }
    byteCount += waiting.count
    waiting = []
  }

  /// Writes what waits and makes the log durable, so that `byteCount` can be put on record.
  package func synchronize() throws(Diagnostic) {
    try flush()
    try diagnosing { () throws(FileFailure) in try fileSystem.synchronize(file) }
  }
}
