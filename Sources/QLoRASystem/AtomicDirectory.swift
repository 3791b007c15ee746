// A directory that appears complete or not at all: temporary directory, files, flush, manifest,
// flush, rename, flush (Docs/Checkpoints.md).
import CQLoRASystem
import QLoRADiagnostics
import QLoRAJSON

/// A directory in the making, inside `parent`, to be known as `name` once committed.
package final class AtomicDirectory {
  /// What the estimate is raised by: directory blocks, manifest, journal.
  private static let marginDivisor = 20

  private let parent: String
  private let target: String
  private let temporary: String
  private let fileSystem: any FileSystem
  private var entries: [ManifestEntry] = []

  /// - Parameter expectedByteCount: what the files will come to, checked against the free space.
  /// - Throws: a diagnostic where the disk cannot hold it, before anything is written.
  package init(
    _ name: String, in parent: String, expectedByteCount: Int,
    _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    self.parent = parent
    self.fileSystem = fileSystem
    target = FilePath.join(parent, name)
    let temporary = FilePath.join(parent, TemporaryName.temporary(name))
    self.temporary = temporary
    try diagnosing { () throws(FileFailure) in
      try fileSystem.makeDirectories(parent)
      let needed = expectedByteCount + expectedByteCount / Self.marginDivisor
      guard try fileSystem.freeByteCount(parent) >= needed else {
        throw FileFailure(.reserve, parent, qlora_error_full)
      }
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.makeDirectory(temporary)
      }
    }
  }

  /// Writes one file; `body` streams its bytes.
  /// - Parameter byteCount: reserved on disk beforehand where it is known.
  package func write(
    _ name: String, byteCount: Int = 0, _ body: (FileSink) throws -> Void
  ) throws {
    let sink = try diagnosing { () throws(FileFailure) in
      try FileSink(
        creating: FilePath.join(temporary, name), reserving: byteCount, fileSystem)
    }
    do { try body(sink) } catch let failure as FileFailure { throw failure.diagnostic }
    entries.append(try diagnosing { () throws(FileFailure) in try sink.finish() })
  }

  package func write(_ name: String, _ bytes: [UInt8]) throws {
    try write(name, byteCount: bytes.count) { try $0.write(bytes) }
  }

  /// Makes the directory visible under its name. After this returns it survives a power cut.
  package func commit(facts: [JSONMember] = []) throws -> CheckpointManifest {
    let manifest = CheckpointManifest(entries: entries, facts: facts)
    try write(CheckpointManifest.fileName, Array(manifest.text.utf8))
    try diagnosing { () throws(FileFailure) in
      try fileSystem.synchronizeDirectory(temporary)
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.rename(temporary, to: target, replacing: false)
      }
      try fileSystem.synchronizeDirectory(parent)
    }
    return manifest
  }

  /// Removes what was written, as far as that is possible.
  package func discard() { try? fileSystem.removeTree(temporary) }
}
