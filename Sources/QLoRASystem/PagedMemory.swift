// Memory that lies in a file: what is not in use can leave, and comes back with the bytes it had.
// Nobody else sees the file, which loses its name at once and its space with the process.
import CQLoRASystem

// SAFETY: the mapping lives as long as this object and is as long as the file that was reserved.
package final class PagedMemory: @unchecked Sendable {
  package static let pageBytes = DirectFile.alignment

  /// Zeros at first; the start of a page.
  package let bytes: UnsafeMutableRawBufferPointer

  /// - Parameters:
  ///   - byteCount: at least 1. The disk space is claimed here, so that it cannot run out later.
  ///   - folder: exists.
  package init(
    byteCount: Int, in folder: String, _ files: any FileSystem = PosixFileSystem()
  ) throws(FileFailure) {
    let path = FilePath.join(folder, TemporaryName.temporary("pages"))
    let file = try retryingInterruptions { () throws(FileFailure) in try files.create(path) }
    defer {
      files.close(file)
      try? files.remove(path)
    }
    try retryingInterruptions { () throws(FileFailure) in
      try files.reserve(file, byteCount: byteCount)
    }
    // Where space cannot be claimed the file is still empty, and has no page to be mapped.
    try retryingInterruptions { () throws(FileFailure) in
      try files.truncate(file, to: byteCount)
    }
    var address: UnsafeMutableRawPointer?
    let outcome = qlora_map_shared(path, Int64(byteCount), &address)
    guard outcome >= 0 else { throw FileFailure(.reserve, path, -outcome) }
    bytes = UnsafeMutableRawBufferPointer(start: address, count: byteCount)
  }

  deinit { _ = qlora_unmap(bytes.baseAddress, Int64(bytes.count)) }

  /// Begins to read a range that starts at a page.
  package func prepare(_ range: Range<Int>) {
    guard let start = bytes.baseAddress, !range.isEmpty else { return }
    _ = qlora_map_will_need(start + range.lowerBound, Int64(range.count))
  }

  /// Takes a range that starts at a page out of this process's memory; the file keeps it.
  package func release(_ range: Range<Int>) {
    guard let start = bytes.baseAddress, !range.isEmpty else { return }
    _ = qlora_map_release(start + range.lowerBound, Int64(range.count))
  }
}
