// A file that only this process reads: it loses its name as soon as it is written, and its space
// with the process, however that ends.
import QLoRADiagnostics

package enum ScratchFile {
  /// - Parameters:
  ///   - folder: made where it does not exist.
  ///   - byteCount: what the file will have; reserved beforehand.
  ///   - body: writes it.
  /// - Throws: a diagnostic where the disk has no room or fails, and what `body` throws.
  package static func write(
    in folder: String, byteCount: Int, _ files: any FileSystem = PosixFileSystem(),
    _ body: (FileSink) throws -> Void
  ) throws -> DirectFile {
    let path = FilePath.join(folder, TemporaryName.temporary("scratch"))
    let sink = try diagnosing { () throws(FileFailure) in
      try files.makeDirectories(folder)
      return try FileSink(creating: path, reserving: byteCount, files)
    }
    defer { try? files.remove(path) }
    do { try body(sink) } catch let failure as FileFailure { throw failure.diagnostic }
    return try diagnosing { () throws(FileFailure) in
      _ = try sink.finish()
      return try DirectFile(path)
    }
  }
}
