// A file that appears complete or not at all, such as an export or a picture of the loss.
import QLoRADiagnostics

package enum AtomicFile {
  /// Writes `path` through a temporary file beside it; an existing file is replaced only by a
  /// complete one, or, unless `replacing`, not at all.
  ///
  /// - Throws: a diagnostic; then nothing new is visible.
  package static func write(
    _ path: String, byteCount: Int = 0, replacing: Bool = true,
    _ fileSystem: any FileSystem = PosixFileSystem(), _ body: (FileSink) throws -> Void
  ) throws {
    let parent = FilePath.parent(of: path)
    let temporary = FilePath.join(
      parent, TemporaryName.temporary(FilePath.lastComponent(of: path)))
    do {
      try fileSystem.makeDirectories(parent)
      let sink = try FileSink(creating: temporary, reserving: byteCount, fileSystem)
      try body(sink)
      _ = try sink.finish()
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.rename(temporary, to: path, replacing: replacing)
      }
      try fileSystem.synchronizeDirectory(parent)
    } catch {
      try? fileSystem.removeTree(temporary)
      throw (error as? FileFailure)?.diagnostic ?? error
    }
  }

  package static func write(
    _ path: String, _ bytes: [UInt8], replacing: Bool = true,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws {
    try write(path, byteCount: bytes.count, replacing: replacing, fileSystem) {
      try $0.write(bytes)
    }
  }
}
