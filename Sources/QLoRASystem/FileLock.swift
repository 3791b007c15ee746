// An advisory lock on a file that the kernel drops with its process, so a killed one leaves nothing
// to clean up.
import CQLoRASystem
import QLoRADiagnostics

/// Held as long as this object lives.
package final class FileLock: Sendable {
  private let descriptor: Int32

  private init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { _ = qlora_close(descriptor) }

  /// Opens or creates the file and locks it.
  ///
  /// - Returns: nil where another process holds it.
  package static func take(_ path: String) throws(Diagnostic) -> FileLock? {
    let outcome = qlora_lock(path)
    if outcome == -qlora_error_would_block { return nil }
    guard outcome >= 0 else {
      throw FileFailure(.openForAppending, path, -outcome).diagnostic
    }
    return FileLock(descriptor: outcome)
  }
}
