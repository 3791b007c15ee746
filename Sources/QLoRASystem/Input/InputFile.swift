// A plain file opened for reading at chosen places. It reads into the caller's memory and never
// maps the file: a file that shrinks under us is an error, not a signal.
import QLoRADiagnostics

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A regular file, open until the last reference is gone. Reads from several threads are fine.
package final class InputFile: Sendable {
  package let path: String
  package let byteCount: Int
  private let descriptor: Int32
  private let stamp: ChangeStamp

  /// - Throws: `fileMissing`, `fileUnreadable`, or `fileNotRegular` for a folder, pipe or device.
  package convenience init(path: String) throws(Diagnostic) {
    try self.init(path: path, within: nil)
  }

  /// A file of a folder that may come from somebody else: a link to a place outside is refused.
  ///
  /// - Parameter name: one component, such as `config.json`.
  /// - Throws: as above, and `fileOutside`.
  package convenience init(_ name: String, in folder: String) throws(Diagnostic) {
    try self.init(path: FilePath.join(folder, name), within: folder)
  }

  private init(path: String, within folder: String?) throws(Diagnostic) {
    // The system would take the part before a zero byte for the path.
    guard !path.utf8.contains(0) else {
      throw Diagnostic(.fileMissing, "a path cannot hold a zero byte", at: .file(path))
    }
    // Without O_NONBLOCK a pipe would make us wait for its writer, perhaps for ever.
    let descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.openFailure(path, errno) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let failure = Self.openFailure(path, errno)
      close(descriptor)
      throw failure
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw Diagnostic(
        .fileNotRegular, "expected a plain file, found \(Self.kind(of: status.st_mode))",
        at: .file(path))
    }
    if let folder, !FolderBounds.holds(path, status, in: folder) {
      close(descriptor)
      throw Diagnostic(
        .fileOutside, "this is a link that leads out of its folder", at: .file(path),
        remedy: "copy the file into the folder, or give the folder that it leads to")
    }
    self.path = path
    self.descriptor = descriptor
    byteCount = Int(status.st_size)
    stamp = ChangeStamp(status)
  }

  deinit { close(descriptor) }

  /// Whether nobody has written into the file since it was opened, as far as its times tell: the
  /// system sets them at every write, and the last of them cannot be set back by a program.
  package var isUnchanged: Bool {
    var status = stat()
    return fstat(descriptor, &status) == 0 && ChangeStamp(status) == stamp
  }

  private static func openFailure(_ path: String, _ code: Int32) -> Diagnostic {
    let reason = String(cString: strerror(code))
    var link = stat()
    if code == ENOENT, lstat(path, &link) == 0 {
      return Diagnostic(
        .fileNotRegular, "expected a plain file, found a link to nothing", at: .file(path))
    }
    if code == ENOENT || code == ENOTDIR {
      return Diagnostic(.fileMissing, "there is no such file", at: .file(path))
    }
    return Diagnostic(.fileUnreadable, "cannot be opened: \(reason)", at: .file(path))
  }

  /// What is at a path, with its article, for messages.
  package static func kind(at path: String) -> String {
    var status = stat()
    return stat(path, &status) == 0 ? kind(of: status.st_mode) : "nothing"
  }

  private static func kind(of mode: mode_t) -> String {
    switch mode & S_IFMT {
    case S_IFDIR: "a folder"
    case S_IFIFO: "a pipe"
    case S_IFSOCK: "a socket"
    default: "a device"
    }
  }

  /// Fills `destination` with the bytes from `offset` on.
  ///
  /// - Throws: `fileReadFailed` where the system fails or the file ends before.
  package func read(
    at offset: Int, into destination: UnsafeMutableRawBufferPointer
  ) throws(Diagnostic) {
    // SAFETY: `pread` gets the address and length of what is left of the caller's buffer.
    guard let start = destination.baseAddress else { return }
    var done = 0
    while done < destination.count {
      let count = pread(descriptor, start + done, destination.count - done, off_t(offset + done))
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let reason =
          count == 0
          ? "the file ends here, though it had \(byteCount) bytes when it was opened"
          : "reading failed: \(String(cString: strerror(errno)))"
        throw Diagnostic(
          .fileReadFailed, reason, at: .byteOffset(file: path, offset: offset + done))
      }
      done += count
    }
  }

  /// The whole file, which must be small.
  ///
  /// - Throws: `fileTooLarge` before anything is allocated, and what reading throws.
  package func wholeBytes(limit: Int) throws(Diagnostic) -> [UInt8] {
    guard byteCount <= limit else {
      throw Diagnostic(
        .fileTooLarge, "\(byteCount) bytes, expected at most \(limit)", at: .file(path))
    }
    return try bytes(0..<byteCount)
  }

  /// A copy of `range`, which the caller has bounded.
  package func bytes(_ range: Range<Int>) throws(Diagnostic) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: range.count)
    var failure: Diagnostic?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(Diagnostic) {
        try read(at: range.lowerBound, into: buffer)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }
}

/// What changes whenever a file's content does.
private struct ChangeStamp: Equatable {
  let byteCount: Int
  /// Seconds and nanoseconds of the last write, and of the last change of content or attributes.
  let times: [Int]

  init(_ status: stat) {
    byteCount = Int(status.st_size)
    #if canImport(Darwin)
      let (written, changed) = (status.st_mtimespec, status.st_ctimespec)
    #else
      let (written, changed) = (status.st_mtim, status.st_ctim)
    #endif
    times = [written.tv_sec, written.tv_nsec, changed.tv_sec, changed.tv_nsec].map { Int($0) }
  }
}
