// One process per run directory: an advisory lock that the kernel drops with its process, so a
// killed run leaves nothing to clean up.
import CQLoRASystem
import QLoRADiagnostics

/// Held as long as this object lives.
package final class RunLock: Sendable {
  package static let fileName = "run.lock"

  private let descriptor: Int32

  /// - Throws: a diagnostic with exit code 73 where another process holds it.
  package init(_ directory: String) throws(Diagnostic) {
    let path = FilePath.join(directory, Self.fileName)
    descriptor = qlora_lock(path)
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
}
