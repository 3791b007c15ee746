// A file that only grows at its end and survives a full disk: what could not be written waits in
// memory. It knows nothing of what the bytes mean.
import QLoRADiagnostics

package final class AppendedFile {
  package let path: String
  private let fileSystem: any FileSystem
  private let file: OpenFile
  private var waiting: [UInt8] = []
  /// Bytes in the file that were appended whole.
  package private(set) var byteCount: Int

  /// Opens or creates a file, and cuts it where it is longer than `byteCount`.
  package init(
    _ path: String, keeping byteCount: Int, of existingByteCount: Int,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(FileFailure) {
    self.path = path
    self.fileSystem = fileSystem
    self.byteCount = byteCount
    let file = try retryingInterruptions { () throws(FileFailure) in
      try fileSystem.openForAppending(path)
    }
    self.file = file
    if byteCount != existingByteCount {
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.truncate(file, to: byteCount)
      }
    }
  }

  deinit { fileSystem.close(file) }

  /// Adds bytes that belong together.
  /// - Throws: a diagnostic; the bytes are kept and written by a later call.
  package func append(_ bytes: some Sequence<UInt8>) throws(Diagnostic) {
    waiting.append(contentsOf: bytes)
    try flush()
  }

  private func flush() throws(Diagnostic) {
    guard !waiting.isEmpty else { return }
    do {
      try waiting.withUnsafeBytes { try fileSystem.writeAll(file, $0) }
    } catch {
      // A part of it may be there; the next try starts from whole ones.
      try? fileSystem.truncate(file, to: byteCount)
      throw (error as? FileFailure ?? FileFailure(.write, path, 0)).diagnostic
    }
    byteCount += waiting.count
    waiting = []
  }

  /// Writes what waits and makes the file durable, so that `byteCount` can be put on record.
  package func synchronize() throws(Diagnostic) {
    try flush()
    try diagnosing { () throws(FileFailure) in try fileSystem.synchronize(file) }
  }
}
