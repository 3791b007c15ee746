// Whole tasks over single calls: they retry what was interrupted and finish what was short. Still
// nothing here is atomic; see AtomicFile and AtomicDirectory.
import CQLoRASystem

/// Runs a call again as long as a signal interrupts it.
package func retryingInterruptions<Result>(
  _ body: () throws(FileFailure) -> Result
) throws(FileFailure) -> Result {
  while true {
    do throws(FileFailure) {
      return try body()
    } catch where error.number == qlora_error_interrupted {
      continue
    } catch {
      throw error
    }
  }
}

extension FileSystem {
  /// Writes all the bytes; see `write`.
  package func writeAll(
    _ file: OpenFile, _ bytes: UnsafeRawBufferPointer, at offset: Int? = nil
  ) throws(FileFailure) {
    var written = 0
    while written < bytes.count {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[written...])
      let count = try retryingInterruptions { () throws(FileFailure) in
        try write(file, rest, at: offset.map { $0 + written })
      }
      // A disk that takes nothing and reports nothing would keep us here for ever.
      guard count > 0 else { throw FileFailure(.write, file.path, qlora_error_io) }
      written += count
    }
  }

  package func readAll(_ path: String) throws(FileFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    if let status = try status(path) { bytes.reserveCapacity(status.byteCount) }
    try read(path) { bytes.append(contentsOf: $0) }
    return bytes
  }

  /// Creates `path` and the directories above it, each made durable in its parent.
  package func makeDirectories(_ path: String) throws(FileFailure) {
    if let status = try status(path) {
      if status.kind == .other || status.kind == .directory { return }
      throw FileFailure(.makeDirectory, path, qlora_error_exists)
    }
    let parent = FilePath.parent(of: path)
    if parent != path { try makeDirectories(parent) }
    do throws(FileFailure) {
      try retryingInterruptions { () throws(FileFailure) in try makeDirectory(path) }
    } catch {
      // Another process may have been quicker.
      guard error.number == qlora_error_exists else { throw error }
    }
    try retryingInterruptions { () throws(FileFailure) in try synchronizeDirectory(parent) }
  }

  /// Removes a file, or a directory with everything in it; nothing there is fine.
  package func removeTree(_ path: String) throws(FileFailure) {
    guard let status = try status(path) else { return }
    guard status.kind == .directory else {
      return try retryingInterruptions { () throws(FileFailure) in try remove(path) }
    }
    for name in try list(path) { try removeTree(FilePath.join(path, name)) }
    try retryingInterruptions { () throws(FileFailure) in try removeDirectory(path) }
  }
}

/// Paths as plain text: this module never resolves or normalises them.
package enum FilePath {
  package static func join(_ directory: String, _ name: String) -> String {
    directory.hasSuffix("/") ? directory + name : directory + "/" + name
  }

  /// The directory that holds the last component.
  package static func parent(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  package static func lastComponent(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return trimmed }
    return String(trimmed[trimmed.index(after: slash)...])
  }

  private static func trimmingSlashes(_ path: String) -> String {
    var path = Substring(path)
    while path.count > 1, path.hasSuffix("/") { path = path.dropLast() }
    return String(path)
  }
}
