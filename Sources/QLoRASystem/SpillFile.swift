// A nameless file that grows at its end and is read at any place: for what was too much to keep in
// memory. Its space goes with the last reference, however the process ends.
import QLoRADiagnostics

/// For one writer; what reads it may be shared.
package final class SpillFile {
  private let sink: FileSink
  /// Reads what has been appended, also after this object is gone.
  package let reader: InputFile
  package private(set) var byteCount = 0

  /// - Parameter folder: made where it does not exist; on a disk, for memory is what lacks.
  package init(in folder: String, _ files: any FileSystem = PosixFileSystem()) throws {
    let path = FilePath.join(folder, TemporaryName.temporary("scratch"))
    sink = try diagnosing { () throws(FileFailure) in
      try files.makeDirectories(folder)
      return try FileSink(creating: path, reserving: 0, files)
    }
    defer { try? files.remove(path) }
    reader = try InputFile(path: path)
  }

  /// - Throws: a diagnostic where the disk is full or fails.
  package func append(_ bytes: [UInt8]) throws {
    try diagnosing { () throws(FileFailure) in try sink.write(bytes) }
    byteCount += bytes.count
  }
}
