// A file being written for the first time. What goes in from first byte to last is digested on its
// way; a file whose parts came in another order is read once more for its digest.

/// Takes the bytes of a new file.
package final class FileSink {
  package let path: String
  private let file: OpenFile
  private let fileSystem: any FileSystem
  private let digest = StreamingDigest()
  /// Whether `digest` has seen everything.
  private var isInOrder = true
  private let reserved: Int
  private var isOpen = true
  /// Up to the last byte written.
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
    try write(bytes, at: byteCount)
  }

  /// Writes into the file's middle, or beyond its end; the caller leaves no hole.
  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileFailure) {
    try fileSystem.writeAll(file, bytes, at: offset)
    isInOrder = isInOrder && offset == byteCount
    if isInOrder { digest.update(bytes) }
    byteCount = max(byteCount, offset + bytes.count)
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
      name: FilePath.lastComponent(of: path), byteCount: byteCount, digest: try contentDigest())
  }

  private func contentDigest() throws(FileFailure) -> Digest {
    if isInOrder { return digest.digest }
    let whole = StreamingDigest()
    try fileSystem.read(path) { whole.update($0) }
    return whole.digest
  }
}
