// A file being written for the first time: everything that goes in is digested on its way.

/// Takes the bytes of a new file, in order.
package final class FileSink {
  package let path: String
  private let file: OpenFile
  private let fileSystem: any FileSystem
  private let digest = StreamingDigest()
  private let reserved: Int
  private var isOpen = true
  package private(set) var byteCount = 0

  init(creating path: String, reserving byteCount: Int, _ fileSystem: any FileSystem)
    throws(FileFailure)
  {
    self.path = path
    self.fileSystem = fileSystem
    reserved = byteCount
    let file = try retryingInterruptions { () throws(FileFailure) in
      try fileSystem.create(path)
    }
    self.file = file
    if byteCount > 0 {
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.reserve(file, byteCount: byteCount)
      }
    }
  }

  deinit { if isOpen { fileSystem.close(file) } }

  package func write(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) {
    try fileSystem.writeAll(file, bytes)
    digest.update(bytes)
    byteCount += bytes.count
  }

  package func write(_ bytes: [UInt8]) throws(FileFailure) {
    // Typed throws do not pass through withUnsafeBytes.
    let outcome = bytes.withUnsafeBytes { buffer in
      Result { () throws(FileFailure) in try write(buffer) }
    }
    try outcome.get()
  }

  package func write(_ text: String) throws(FileFailure) { try write(Array(text.utf8)) }

  /// Makes the content durable and closes the file.
  func finish() throws(FileFailure) -> ManifestEntry {
    // A reservation larger than the content would leave zeros at the end.
    if reserved > byteCount {
      try retryingInterruptions { () throws(FileFailure) in
        try fileSystem.truncate(file, to: byteCount)
      }
    }
    try fileSystem.synchronize(file)
    isOpen = false
    fileSystem.close(file)
    return ManifestEntry(
      name: FilePath.lastComponent(of: path), byteCount: byteCount, digest: digest.digest)
  }
}
