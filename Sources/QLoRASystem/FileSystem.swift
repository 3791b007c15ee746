// The seam between everything that must survive a crash and the operating system. Each requirement
// is about one system call, so that tests can fail or "crash" at every one of them.

/// One kind of call through the seam.
package enum FileOperation: String, Sendable, CaseIterable {
  case create, openForAppending, reserve, write, truncate, synchronize, synchronizeDirectory
  case makeDirectory, makeLink, rename, remove, removeDirectory, touch, read, list, status
  case freeSpace
}

/// A call that failed: which, on what path, with which error number.
package struct FileFailure: Error, Sendable, Equatable {
  package let operation: FileOperation
  package let path: String
  package let number: Int32

  package init(_ operation: FileOperation, _ path: String, _ number: Int32) {
    self.operation = operation
    self.path = path
    self.number = number
  }
}

/// A file open for writing.
package struct OpenFile: Sendable, Hashable {
  package let descriptor: Int32
  package let path: String

  package init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }
}

/// What a path names; links are not followed.
package struct FileStatus: Sendable, Equatable {
  package enum Kind: Sendable, Equatable { case file, directory, other }

  package let kind: Kind
  package let byteCount: Int
  /// When the content last changed, in nanoseconds since 1970; 0 where that is not known.
  package let changed: Int

  package init(kind: Kind, byteCount: Int, changed: Int = 0) {
    self.kind = kind
    self.byteCount = byteCount
    self.changed = changed
  }
}

/// The file operations that checkpoints, exports and logs are made of.
///
/// Calls may fail with "interrupted" and `write` may be short; `FileSystem+Whole.swift` has the
/// versions that go on until done.
package protocol FileSystem: AnyObject, Sendable {
  // MARK: Writing
  /// Creates a file that must not exist.
  func create(_ path: String) throws(FileFailure) -> OpenFile
  /// Opens or creates a file whose writes go to its end.
  func openForAppending(_ path: String) throws(FileFailure) -> OpenFile
  /// Claims disk space, so that a full disk shows before the first byte.
  func reserve(_ file: OpenFile, byteCount: Int) throws(FileFailure)
  /// - Parameter offset: of the first byte in the file; nil: after what was written last.
  /// - Returns: how many of the bytes were written.
  func write(
    _ file: OpenFile, _ bytes: UnsafeRawBufferPointer, at offset: Int?
  ) throws(FileFailure) -> Int
  func truncate(_ file: OpenFile, to byteCount: Int) throws(FileFailure)
  /// Waits until the file's data are on the disk. A failure is final: the system may have dropped
  /// the data, so the file is to be written anew, never synchronized again.
  func synchronize(_ file: OpenFile) throws(FileFailure)
  func close(_ file: OpenFile)

  // MARK: Directories
  func makeDirectory(_ path: String) throws(FileFailure)
  /// Makes a symbolic link that leads to `target`; fails with "exists" where something is.
  func makeLink(_ path: String, to target: String) throws(FileFailure)
  /// Makes renames, creations and removals inside `path` durable.
  func synchronizeDirectory(_ path: String) throws(FileFailure)
  /// Moves atomically; fails with "exists" where `target` does, unless `replacing`.
  func rename(_ path: String, to target: String, replacing: Bool) throws(FileFailure)
  func remove(_ path: String) throws(FileFailure)
  func removeDirectory(_ path: String) throws(FileFailure)
  /// Makes now the time of its last change.
  func touch(_ path: String) throws(FileFailure)

  // MARK: Reading
  /// The bytes of a regular file from its start, in order, in pieces.
  func read(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) throws(FileFailure)
  /// Names in a directory, sorted.
  func list(_ path: String) throws(FileFailure) -> [String]
  /// nil where there is nothing at `path`.
  func status(_ path: String) throws(FileFailure) -> FileStatus?
  func freeByteCount(_ path: String) throws(FileFailure) -> Int
}
