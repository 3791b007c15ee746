// One process per run directory.
import QLoRADiagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Held as long as this object lives.
package final class RunLock: Sendable {
  package static let fileName = "run.lock"

  private let lock: FileLock

  /// Between two tries.
  private static let pauseMicroseconds: UInt32 = 10_000

  /// - Parameter patience: how long to wait for another process, which may be dying of a signal
  ///   and still giving back its memory.
  /// - Throws: a diagnostic with exit code 73 where another process holds it.
  package init(_ directory: String, patience: Duration = .zero) throws(Diagnostic) {
    let path = FilePath.join(directory, Self.fileName)
    let end = ContinuousClock.now + patience
    var taken = try FileLock.take(path)
    while taken == nil, .now < end {
      usleep(Self.pauseMicroseconds)
      taken = try FileLock.take(path)
    }
    guard let taken else {
      throw Diagnostic(
        .outputLocked, "another process is writing into this run", at: .file(directory),
        remedy: "wait for it, stop it, or choose another output directory")
    }
    lock = taken
  }

  /// Whether a process works in a directory now. A start that comes in the same moment waits out
  /// that this looks.
  package static func isHeld(_ directory: String) -> Bool {
    let path = FilePath.join(directory, fileName)
    // Not to leave the file of a lock where there was none.
    guard let status = try? PosixFileSystem().status(path), status.kind == .file else {
      return false
    }
    do throws(Diagnostic) { return try FileLock.take(path) == nil } catch { return false }
  }
}
