// A file's bytes as memory: read when they are touched, and shared with every process that maps
// the file. For files that are never changed in place, since a file that shrinks is a signal.
import CQLoRASystem

// SAFETY: the mapping is read-only and lives as long as this object.
package final class MappedFile: @unchecked Sendable {
  package let bytes: UnsafeRawBufferPointer

  /// - Parameter byteCount: what the file must have, at least 1.
  package init(_ path: String, byteCount: Int) throws(FileFailure) {
    var address: UnsafeRawPointer?
    let outcome = qlora_map(path, Int64(byteCount), &address)
    guard outcome >= 0 else { throw FileFailure(.read, path, -outcome) }
    bytes = UnsafeRawBufferPointer(start: address, count: byteCount)
  }

  deinit { _ = qlora_unmap(bytes.baseAddress, Int64(bytes.count)) }
}
