// What is in the cache, and what has to leave it.

import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

/// An entry as its manifest describes it.
package struct WeightCacheEntry: Sendable {
  package let name: String
  package let path: String
  package let byteCount: Int
  /// In nanoseconds since 1970.
  package let lastUsed: Int
  /// nil where the manifest is damaged.
  package let manifest: CheckpointManifest?

  /// What the manifest says, such as `model` and `options`.
  package func fact(_ name: String) -> JSONValue? {
    manifest?.facts.first { $0.key == name }?.value
  }
}

extension WeightCache {
  /// The entries, the one longest unused first.
  package func entries() -> [WeightCacheEntry] {
    let names = (try? files.list(folder)) ?? []
    let entries = names.filter(CheckpointManifest.isPlainName).compactMap { name in
      let path = path(name)
      guard let status = try? files.status(path), status.kind == .directory else {
        return WeightCacheEntry?.none
      }
      return WeightCacheEntry(
        name: name, path: path, byteCount: byteCount(path), lastUsed: status.changed,
        manifest: try? CheckpointManifest.load(path, files))
    }
    return entries.sorted { ($0.lastUsed, $0.name) < ($1.lastUsed, $1.name) }
  }

  private func byteCount(_ path: String) -> Int {
    ((try? files.list(path)) ?? []).reduce(0) { sum, name in
      sum + (((try? files.status(FilePath.join(path, name))) ?? nil)?.byteCount ?? 0)
    }
  }

  /// Checks every byte of an entry.
  /// - Throws: a diagnostic that says what is damaged.
  package func verify(_ entry: WeightCacheEntry) throws {
    try CheckpointManifest.verify(entry.path, files)
  }

  /// Removes what dead processes left, and entries, the longest unused first, until the rest has at
  /// most `byteCount` bytes. Processes that use a removed entry keep what they have mapped.
  /// - Returns: the entries that left.
  @discardableResult
  package func prune(to byteCount: Int) -> [WeightCacheEntry] {
    files.sweep(folder)
    var entries = entries()[...]
    var total = entries.reduce(0) { $0 + $1.byteCount }
    var removed: [WeightCacheEntry] = []
    while total > byteCount, let oldest = entries.popFirst() {
      total -= oldest.byteCount
      if removeOrWarn(oldest.path) { removed.append(oldest) }
    }
    return removed
  }

  /// Removes an entry: first out of sight, so that nobody meets half of it.
  /// - Returns: whether it is gone.
  @discardableResult
  package func removeOrWarn(_ path: String) -> Bool {
    let trash = FilePath.join(folder, TemporaryName.trash(FilePath.lastComponent(of: path)))
    do throws(FileFailure) {
      try files.rename(path, to: trash, replacing: false)
      try files.removeTree(trash)
      return true
    } catch {
      // Somebody else removed it.
      if (try? files.status(path)) != nil { warn(error.diagnostic) }
      return false
    }
  }
}
