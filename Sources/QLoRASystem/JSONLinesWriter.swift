// An append-only log of JSON lines that a resumed run continues at an exact byte. A line is in the
// file whole or not at all, except for a tear at the very end, which the next start cuts off.
import QLoRADiagnostics
import QLoRAJSON

/// Writes `metrics.jsonl`. A full disk does not stop it: lines wait in memory for the next try.
package final class JSONLinesWriter {
  private let file: AppendedFile

  package var path: String { file.path }
  /// Bytes of whole lines in the file.
  package var byteCount: Int { file.byteCount }

  /// Opens the log and keeps its first `byteCount` bytes, or, where it is shorter, its whole lines.
  package init(
    _ path: String, keeping byteCount: Int, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    file = try diagnosing { () throws(FileFailure) in
      let existing = try fileSystem.status(path) == nil ? [] : try fileSystem.readAll(path)
      let kept = existing.prefix(byteCount)
      let whole = kept.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
      return try AppendedFile(path, keeping: whole, of: existing.count, fileSystem)
    }
  }

  /// Adds one line.
  /// - Throws: a diagnostic; the line is kept and written by a later call.
  package func append(_ value: JSONValue) throws(Diagnostic) {
    try file.append(Array((JSONWriter.text(value, style: .spaced) + "\n").utf8))
  }

  /// Writes what waits and makes the log durable, so that `byteCount` can be put on record.
  package func synchronize() throws(Diagnostic) { try file.synchronize() }
}
