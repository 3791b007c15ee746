// Prepared bases kept between runs. An entry appears complete or not at all, is checked byte for
// byte before it is used, and is never changed. Whatever goes wrong here is a warning: a model can
// always be loaded from its own files.

import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// A base as an entry has it, every byte of which was checked.
struct CachedBase {
  let index: WeightIndex
  /// By module, in mapped memory.
  let weights: [String: any PreparedWeight]
  /// The file of weights, and its path.
  let mapped: MappedFile
  let file: String
}

/// A folder of prepared bases.
package struct WeightCache {
  /// The folder of the entries, each named by its key.
  package let folder: String
  /// What all entries together may take.
  package let byteLimit: Int
  let files: any FileSystem
  /// Gets what went wrong, and how it was dealt with.
  let warn: (Diagnostic) -> Void

  /// - Parameter folder: made when the first entry is.
  package init(
    _ folder: String, byteLimit: Int = Self.defaultByteLimit,
    _ files: any FileSystem = PosixFileSystem(), warn: @escaping (Diagnostic) -> Void
  ) {
    self.folder = folder
    self.byteLimit = byteLimit
    self.files = files
    self.warn = warn
  }

  func path(_ name: String) -> String { FilePath.join(folder, name) }

  // MARK: Reading

  /// The base of an entry; nil where there is none, or a damaged one, which is removed with a
  /// warning.
  func base(_ key: WeightCacheKey, _ backend: any WeightArchiving) -> CachedBase? {
    guard isThere(key) else { return nil }
    let path = path(key.name)
    do {
      let base = try read(key, backend)
      // Whether this use is on record matters for pruning only.
      try? files.touch(path)
      return base
    } catch {
      // Pruned by another process since: nothing is wrong.
      if isThere(key) {
        warn(
          Diagnostic(
            .cacheEntryDamaged, "the cached base is passed over: \(Self.reason(error))",
            at: .file(path),
            remedy: "it is made anew from the model's files"))
        removeOrWarn(path)
      }
      return nil
    }
  }

  private func isThere(_ key: WeightCacheKey) -> Bool {
    ((try? files.status(path(key.name))) ?? nil)?.kind == .directory
  }

  /// - Throws: where a single byte is not what was written, or the entry is another's.
  private func read(
    _ key: WeightCacheKey, _ backend: any WeightArchiving
  ) throws -> CachedBase {
    let path = path(key.name)
    let manifest = try CheckpointManifest.verify(path, files)
    guard Array(manifest.facts.dropFirst()) == key.facts else {
      throw Diagnostic(.cacheEntryDamaged, "it is the entry of another base", at: .file(path))
    }
    guard let entry = manifest.entries.first(where: { $0.name == WeightIndex.weightsName }) else {
      throw Diagnostic(.cacheEntryDamaged, "it has no weights", at: .file(path))
    }
    let index = try WeightIndex(
      parsing: try manifest.read(WeightIndex.fileName, of: path, files),
      weightBytes: entry.byteCount, file: FilePath.join(path, WeightIndex.fileName))
    let file = FilePath.join(path, entry.name)
    let mapped = try diagnosing { () throws(FileFailure) in
      try MappedFile(file, byteCount: entry.byteCount)
    }
    let storage = mapped.storage()
    var weights: [String: any PreparedWeight] = [:]
    for indexed in index.weights {
      weights[indexed.module] = try backend.restore(indexed.archived(in: storage))
    }
    return CachedBase(index: index, weights: weights, mapped: mapped, file: file)
  }

  /// What went wrong without the advice, which is for checkpoints.
  private static func reason(_ error: any Error) -> String {
    guard let diagnostic = error as? Diagnostic else { return "\(error)" }
    return diagnostic.location.map { "\($0): \(diagnostic.message)" } ?? diagnostic.message
  }

  // MARK: Writing

  /// Keeps a base, unless another process was quicker. Older entries go where it would be too much.
  func store(_ key: WeightCacheKey, model: String, _ weights: [(String, ArchivedWeight)]) {
    var index = WeightIndex()
    for (module, weight) in weights { index.add(module, weight) }
    do {
      let pending = try begin(key, index)
      try fill(pending, key, model: model, index) { sink in
        for (_, weight) in weights { try weight.write(to: sink) }
        return true
      }
    } catch {
      warnUnkept(error)
    }
  }

  func warnUnkept(_ error: any Error) {
    warn(
      Diagnostic(
        .cacheUnwritable,
        "the quantized base is not kept for the next start: \(Self.reason(error))",
        at: .file(folder),
        remedy: "name another folder in QLORA_CACHE, or set it to \"off\""))
  }

  /// Makes room for an entry.
  /// - Throws: where it is larger than the cache may be, or the disk has no room for it.
  func begin(_ key: WeightCacheKey, _ index: WeightIndex) throws -> AtomicDirectory {
    let needed = index.byteCount + index.text.utf8.count
    guard needed <= byteLimit else {
      throw Diagnostic(
        .cacheUnwritable,
        "it has \(needed) bytes, and the cache may have \(byteLimit) (QLORA_CACHE_LIMIT)")
    }
    prune(to: byteLimit - needed)
    return try AtomicDirectory(key.name, in: folder, expectedByteCount: needed, files)
  }

  /// - Parameter body: writes the weights as `index` says, and tells whether they are to be kept.
  func fill(
    _ pending: AtomicDirectory, _ key: WeightCacheKey, model: String, _ index: WeightIndex,
    _ body: (FileSink) throws -> Bool
  ) throws {
    do {
      var isKept = false
      try pending.write(WeightIndex.weightsName, byteCount: index.byteCount) {
        isKept = try body($0)
      }
      guard isKept else { return pending.discard() }
      try pending.write(WeightIndex.fileName, Array(index.text.utf8))
      _ = try pending.commit(facts: [JSONMember("model", .string(model))] + key.facts)
    } catch {
      pending.discard()
      // Another process was quicker.
      if (error as? Diagnostic)?.code == .outputExists, isThere(key) { return }
      throw error
    }
  }
}

extension ArchivedWeight {
  /// The parts in order, each followed by zeros up to where the next may begin.
  func write(to sink: FileSink) throws {
    for part in parts {
      let end = WeightIndex.end(of: part.byteCount, from: sink.byteCount)
      let bytes = part.withBytes { buffer in
        Result { () throws(FileFailure) in try sink.write(buffer) }
      }
      try bytes.get()
      try sink.write([UInt8](repeating: 0, count: end - sink.byteCount))
    }
  }
}
