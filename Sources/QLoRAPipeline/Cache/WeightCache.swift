// Prepared bases kept between runs. An entry appears complete or not at all, is checked byte for
// byte before it is used, and is never changed. Whatever goes wrong here is a warning: a model can
// always be loaded from its own files.

import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

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

  /// The weights of an entry by module; nil where there is none, or a damaged one, which is removed
  /// with a warning.
  func weights(
    _ key: WeightCacheKey, _ backend: any WeightArchiving
  ) -> [String: any PreparedWeight]? {
    guard isThere(key) else { return nil }
    let path = path(key.name)
    do {
      let weights = try read(key, backend)
      // Whether this use is on record matters for pruning only.
      try? files.touch(path)
      return weights
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
  ) throws -> [String: any PreparedWeight] {
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
    let mapped = try diagnosing { () throws(FileFailure) in
      try MappedFile(FilePath.join(path, entry.name), byteCount: entry.byteCount)
    }
    let storage = mapped.storage()
    var weights: [String: any PreparedWeight] = [:]
    for indexed in index.weights {
      weights[indexed.module] = try backend.restore(mapped.weight(indexed, in: storage))
    }
    return weights
  }

  /// What went wrong without the advice, which is for checkpoints.
  private static func reason(_ error: any Error) -> String {
    guard let diagnostic = error as? Diagnostic else { return "\(error)" }
    return diagnostic.location.map { "\($0): \(diagnostic.message)" } ?? diagnostic.message
  }

  // MARK: Writing

  /// Keeps a base, unless another process was quicker. Older entries go where it would be too much.
  func store(_ key: WeightCacheKey, model: String, _ weights: [(String, ArchivedWeight)]) {
    do {
      try write(key, model: model, weights)
    } catch {
      // Another process was quicker.
      if (error as? Diagnostic)?.code == .outputExists, isThere(key) { return }
      warn(
        Diagnostic(
          .cacheUnwritable,
          "the quantized base is not kept for the next start: \(Self.reason(error))",
          at: .file(folder),
          remedy: "name another folder in QLORA_CACHE, or set it to \"off\""))
    }
  }

  private func write(
    _ key: WeightCacheKey, model: String, _ weights: [(String, ArchivedWeight)]
  ) throws {
    var index = WeightIndex()
    for (module, weight) in weights { index.add(module, weight) }
    let indexText = Array(index.text.utf8)
    let needed = index.byteCount + indexText.count
    guard needed <= byteLimit else {
      throw Diagnostic(
        .cacheUnwritable,
        "it has \(needed) bytes, and the cache may have \(byteLimit) (QLORA_CACHE_LIMIT)")
    }
    prune(to: byteLimit - needed)
    let pending = try AtomicDirectory(key.name, in: folder, expectedByteCount: needed, files)
    do {
      try pending.write(WeightIndex.weightsName, byteCount: index.byteCount) { sink in
        for (_, weight) in weights {
          for part in weight.parts { try Self.write(part, to: sink) }
        }
      }
      try pending.write(WeightIndex.fileName, indexText)
      _ = try pending.commit(facts: [JSONMember("model", .string(model))] + key.facts)
    } catch {
      pending.discard()
      throw error
    }
  }

  /// One part, and zeros up to where the next may begin.
  private static func write(_ part: Tensor, to sink: FileSink) throws {
    let end = WeightIndex.end(of: part.byteCount, from: sink.byteCount)
    let bytes = part.withBytes { buffer in
      Result { () throws(FileFailure) in try sink.write(buffer) }
    }
    try bytes.get()
    try sink.write([UInt8](repeating: 0, count: end - sink.byteCount))
  }
}
