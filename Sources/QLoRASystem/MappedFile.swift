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

  /// Takes the whole pages of a range out of this process's memory, until they are touched again.
  package func release(_ range: Range<Int>) {
    let page = DirectFile.alignment
    let start = (range.lowerBound + page - 1) / page * page
    let end = range.upperBound / page * page
    guard start < end, let first = bytes.baseAddress else { return }
    _ = qlora_map_release(UnsafeMutableRawPointer(mutating: first + start), Int64(end - start))
  }

  deinit { _ = qlora_unmap(bytes.baseAddress, Int64(bytes.count)) }
}
