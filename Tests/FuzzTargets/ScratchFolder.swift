// A folder of this process into which inputs are written again and again; in memory where there is
// such a file system, because a fuzzer writes thousands of files a second.
import Foundation

final class ScratchFolder: Sendable {
  static let shared = ScratchFolder("")
  /// For tokenizers without a tokenizer.json, which would be read first.
  static let pieces = ScratchFolder("-pieces")

  let path: String

  private init(_ suffix: String) {
    let memory = "/dev/shm"
    let root =
      FileManager.default.isWritableFile(atPath: memory)
      ? memory : FileManager.default.temporaryDirectory.path(percentEncoded: false)
    path = "\(root)/qlora-fuzz-\(ProcessInfo.processInfo.processIdentifier)\(suffix)"
    do {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    } catch {
      preconditionFailure("\(path) cannot be made: \(error)")
    }
  }

  /// Replaces the content of a file and returns its path.
  func write(_ bytes: some Collection<UInt8>, _ name: String) -> String {
    let place = "\(path)/\(name)"
    let file = open(place, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    precondition(file >= 0, "\(place) cannot be opened")
    defer { close(file) }
    let content = Array(bytes)
    let written = content.withUnsafeBytes { Foundation.write(file, $0.baseAddress, $0.count) }
    precondition(written == content.count, "\(place) cannot be written")
    return place
  }

  /// What a fuzzer's process leaves is small, and gone with the next start of the machine.
  func remove() { try? FileManager.default.removeItem(atPath: path) }
}
