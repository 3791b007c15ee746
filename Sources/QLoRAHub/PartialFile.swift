// A file that is arriving: what is there of it, and its digest so far.
import QLoRADiagnostics
import QLoRASystem

/// `blobs/DIGEST.incomplete`, until it is whole and becomes `blobs/DIGEST`.
final class PartialFile {
  static let suffix = ".incomplete"

  private let path: String
  private let digest: BlobDigest
  let expectedBytes: Int
  private let fileSystem: any FileSystem
  private let file: OpenFile
  private var hasher: BlobHasher
  private(set) var byteCount = 0

  /// Opens what an earlier start left, or an empty file.
  init(
    _ path: String, _ digest: BlobDigest, byteCount expected: Int, _ fileSystem: any FileSystem
  ) throws(FileFailure) {
    self.path = path
    self.digest = digest
    self.fileSystem = fileSystem
    expectedBytes = expected
    hasher = BlobHasher(like: digest, byteCount: expected)
    let there = try fileSystem.status(path)
    // Never through a link, and never into a pipe.
    if let there, there.kind != .file { try fileSystem.removeTree(path) }
    let file = try retryingInterruptions { () throws(FileFailure) in
      try fileSystem.openForAppending(path)
    }
    self.file = file
    guard let there, there.kind == .file, there.byteCount > 0 else { return }
    guard there.byteCount <= expected else {
      try restart()
      return
    }
    var hasher = hasher
    var count = 0
    try fileSystem.read(path) { piece in
      hasher.update(piece)
      count += piece.count
    }
    self.hasher = hasher
    byteCount = count
  }

  deinit { fileSystem.close(file) }

  /// - Returns: false, and takes nothing, where that is more than there should be.
  func append(_ bytes: UnsafeRawBufferPointer) throws(FileFailure) -> Bool {
    guard byteCount + bytes.count <= expectedBytes else { return false }
    do throws(FileFailure) {
      try fileSystem.writeAll(file, bytes)
    } catch {
      // A part of the piece may be there, which the digest has not seen.
      try? fileSystem.truncate(file, to: byteCount)
      throw error
    }
    hasher.update(bytes)
    byteCount += bytes.count
    return true
  }

  /// Forgets everything.
  func restart() throws(FileFailure) {
    try retryingInterruptions { () throws(FileFailure) in
      try fileSystem.truncate(file, to: 0)
    }
    hasher = BlobHasher(like: digest, byteCount: expectedBytes)
    byteCount = 0
  }

  var isWhole: Bool { byteCount == expectedBytes }

  /// Whether the bytes are what the digest says.
  var isRight: Bool { isWhole && hasher.hex == digest.hex }

  /// Makes it durable and gives it its place.
  func commit(as target: String) throws(FileFailure) {
    try fileSystem.synchronize(file)
    try retryingInterruptions { () throws(FileFailure) in
      try fileSystem.rename(path, to: target, replacing: true)
    }
    try fileSystem.synchronizeDirectory(FilePath.parent(of: target))
  }
}
