// Names of things not yet committed (`.tmp-…`) or no longer wanted (`.trash-…`), and the sweeping
// of what dead processes left.
import CQLoRASystem

/// `.tmp-<name>-<pid>-<nonce>`: tells which process may still be writing it.
package enum TemporaryName {
  package static let temporaryPrefix = ".tmp-"
  package static let trashPrefix = ".trash-"

  /// Random per process, because a container may give every process the same id.
  private static let processNonce = UInt32.random(in: .min ... .max)

  package static func temporary(_ name: String) -> String { make(temporaryPrefix, name) }
  package static func trash(_ name: String) -> String { make(trashPrefix, name) }

  private static func make(_ prefix: String, _ name: String) -> String {
    let unique = UInt32.random(in: .min ... .max)
    return "\(prefix)\(name)-\(qlora_process_id())-\(hex(processNonce))\(hex(unique))"
  }

  private static func hex(_ word: UInt32) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 8 - digits.count) + digits
  }

  /// Whether `name` is ours to remove: made by a process that is gone.
  ///
  /// - Parameter target: only names of what was to become this.
  package static func isStale(_ name: String, of target: String? = nil) -> Bool {
    guard let prefix = [temporaryPrefix, trashPrefix].first(where: name.hasPrefix) else {
      return false
    }
    let parts = name.split(separator: "-")
    guard parts.count >= 4, let process = Int32(parts[parts.count - 2]),
      let nonce = parts.last, nonce.count == 16,
      target.map({ name == "\(prefix)\($0)-\(process)-\(nonce)" }) ?? true
    else { return false }
    if process == qlora_process_id() { return !nonce.hasPrefix(hex(processNonce)) }
    return !qlora_process_exists(process)
  }
}

extension FileSystem {
  /// Removes what dead processes left in `directory`; who cannot be removed stays.
  ///
  /// - Parameter target: only what was to become this; for directories that are not ours alone.
  /// - Returns: the names removed.
  @discardableResult
  package func sweep(_ directory: String, of target: String? = nil) -> [String] {
    let names = (try? list(directory)) ?? []
    return names.filter { name in
      guard TemporaryName.isStale(name, of: target) else { return false }
      return (try? removeTree(FilePath.join(directory, name))) != nil
    }
  }
}
