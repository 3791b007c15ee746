// One process per run directory: an advisory lock that the kernel drops with its process, so a
// killed run leaves nothing to clean up.
import CQLoRASystem
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

  private let descriptor: Int32

  /// Between two tries.
  private static let pauseMicroseconds: UInt32 = 10_000

  /// - Parameter patience: how long to wait for another process, which may be dying of a signal
  ///   and still giving back its memory.
  /// - Throws: a diagnostic with exit code 73 where another process holds it.
  package init(_ directory: String, patience: Duration = .zero) throws(Diagnostic) {
    let path = FilePath.join(directory, Self.fileName)
    let end = ContinuousClock.now + patience
    var outcome = qlora_lock(path)
    while outcome == -qlora_error_would_block, .now < end {
      usleep(Self.pauseMicroseconds)
      outcome = qlora_lock(path)
    }
    descriptor = outcome
    if descriptor == -qlora_error_would_block {
      throw Diagnostic(
        .outputLocked, "another process is writing into this run", at: .file(directory),
        remedy: "wait for it, stop it, or choose another output directory")
    }
    guard descriptor >= 0 else {
      throw FileFailure(.openForAppending, path, -descriptor).diagnostic
    }
  }

  deinit { _ = qlora_close(descriptor) }

  /// Whether a process works in a directory now. A start that comes in the same moment waits out
  /// that this looks.
  package static func isHeld(_ directory: String) -> Bool {
    let path = FilePath.join(directory, fileName)
    // Not to leave the file of a lock where there was none.
    guard let status = try? PosixFileSystem().status(path), status.kind == .file else {
      return false
    }
    let outcome = qlora_lock(path)
    if outcome >= 0 { _ = qlora_close(outcome) }
    return outcome == -qlora_error_would_block
  }
}
