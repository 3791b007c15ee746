// The real file system: each call goes straight to CQLoRASystem. Allow-listed for `unsafe`.
import CQLoRASystem

/// The operating system's files.
package final class PosixFileSystem: FileSystem {
  /// Bytes per piece of a read: large enough that the call costs nothing, small beside the data.
  private static let readChunkBytes = 1 << 20

  package init() {}

  /// What the operating system calls an error number.
  package static func text(ofError number: Int32) -> String {
    // SAFETY: the shim writes at most `count` characters and always terminates them.
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
      guard let start = buffer.baseAddress else { return "error \(number)" }
      qlora_error_text(number, start, buffer.count)
      return String(cString: start)
    }
  }

  private func check(
    _ outcome: Int32, _ operation: FileOperation, _ path: String
  ) throws(FileFailure) -> Int32 {
    guard outcome >= 0 else { throw FileFailure(operation, path, -outcome) }
    return outcome
  }

  private func check(
    _ outcome: Int64, _ operation: FileOperation, _ path: String
  ) throws(FileFailure) -> Int {
    guard outcome >= 0 else { throw FileFailure(operation, path, Int32(-outcome)) }
    return Int(outcome)
  }

  package func create(_ path: String) throws(FileFailure) -> OpenFile {
    OpenFile(descriptor: try check(qlora_create_exclusively(path), .create, path), path: path)
  }

  package func openForAppending(_ path: String) throws(FileFailure) -> OpenFile {
    OpenFile(descriptor: try check(qlora_open_append(path), .openForAppending, path), path: path)
  }

  package func reserve(_ file: OpenFile, byteCount: Int) throws(FileFailure) {
    _ = try check(qlora_reserve(file.descriptor, Int64(byteCount)), .reserve, file.path)
  }

  package func write(
    _ file: OpenFile, _ bytes: UnsafeRawBufferPointer, at offset: Int?
  ) throws(FileFailure) -> Int {
    let (start, count) = (bytes.baseAddress, bytes.count)
    let outcome =
      offset.map { qlora_write_at(file.descriptor, start, count, Int64($0)) }
      ?? qlora_write(file.descriptor, start, count)
    return try check(outcome, .write, file.path)
  }

  package func truncate(_ file: OpenFile, to byteCount: Int) throws(FileFailure) {
    _ = try check(qlora_truncate(file.descriptor, Int64(byteCount)), .truncate, file.path)
  }

  package func synchronize(_ file: OpenFile) throws(FileFailure) {
    _ = try check(qlora_synchronize(file.descriptor), .synchronize, file.path)
  }

  package func close(_ file: OpenFile) { _ = qlora_close(file.descriptor) }

  package func makeDirectory(_ path: String) throws(FileFailure) {
    _ = try check(qlora_make_directory(path), .makeDirectory, path)
  }

  package func makeLink(_ path: String, to target: String) throws(FileFailure) {
    _ = try check(qlora_make_link(path, target), .makeLink, path)
  }

  package func synchronizeDirectory(_ path: String) throws(FileFailure) {
    _ = try check(qlora_synchronize_directory(path), .synchronizeDirectory, path)
  }

  package func rename(
    _ path: String, to target: String, replacing: Bool
  ) throws(FileFailure) {
    let outcome =
      replacing ? qlora_rename(path, target) : qlora_rename_exclusively(path, target)
    _ = try check(outcome, .rename, target)
  }

  package func remove(_ path: String) throws(FileFailure) {
    _ = try check(qlora_remove_file(path), .remove, path)
  }

  package func removeDirectory(_ path: String) throws(FileFailure) {
    _ = try check(qlora_remove_directory(path), .removeDirectory, path)
  }

  package func touch(_ path: String) throws(FileFailure) {
    _ = try check(qlora_touch(path), .touch, path)
  }

  package func read(
    _ path: String, _ body: (UnsafeRawBufferPointer) -> Void
  ) throws(FileFailure) {
    let file = try check(qlora_open_read(path), .read, path)
    defer { _ = qlora_close(file) }
    let chunk = UnsafeMutableRawBufferPointer.allocate(
      byteCount: Self.readChunkBytes, alignment: 64)
    defer { chunk.deallocate() }
    while true {
      let count = try retryingInterruptions { () throws(FileFailure) in
        try check(qlora_read(file, chunk.baseAddress, chunk.count), .read, path)
      }
      if count == 0 { return }
      body(UnsafeRawBufferPointer(rebasing: chunk[..<count]))
    }
  }

  package func list(_ path: String) throws(FileFailure) -> [String] {
    var names: [String] = []
    // SAFETY: the callback runs only during the call, on this thread, while `names` is borrowed.
    let outcome = withUnsafeMutablePointer(to: &names) { pointer in
      qlora_list_directory(
        path,
        { name, context in
          guard let name, let context else { return }
          context.assumingMemoryBound(to: [String].self).pointee.append(String(cString: name))
        }, pointer)
    }
    _ = try check(outcome, .list, path)
    return names.sorted()
  }

  package func status(_ path: String) throws(FileFailure) -> FileStatus? {
    var kind: Int32 = 0
    var size: Int64 = 0
    var changed: Int64 = 0
    let outcome = qlora_status(path, &kind, &size, &changed)
    // Below a file there is nothing either.
    if [-qlora_error_missing, -qlora_error_not_directory].contains(outcome) { return nil }
    _ = try check(outcome, .status, path)
    let kinds: [FileStatus.Kind] = [.file, .directory, .other]
    return FileStatus(kind: kinds[Int(kind)], byteCount: Int(size), changed: Int(changed))
  }

  package func freeByteCount(_ path: String) throws(FileFailure) -> Int {
    try check(qlora_free_bytes(path), .freeSpace, path)
  }
}
