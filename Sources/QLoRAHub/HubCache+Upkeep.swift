// What the hub's cache holds, whether it is intact, and the parts that nobody will fetch on.
import QLoRADiagnostics
import QLoRASystem

/// A model or data set in the cache.
package struct HubRepository: Sendable {
  package let kind: HubKind
  package let id: String
  package let path: String
  /// Those whose snapshots are there.
  package let commits: [String]
  /// Of its blobs, with those that have not arrived whole.
  package let byteCount: Int
  /// When something arrived last, in nanoseconds since 1970.
  package let changed: Int

  fileprivate let blobs: [String]
}

extension HubCache {
  /// What is there, by name.
  package func repositories() -> [HubRepository] {
    ((try? fileSystem.list(root)) ?? []).compactMap(repository)
  }

  private func repository(_ name: String) -> HubRepository? {
    let words = name.split(separator: "--").map(String.init)
    guard words.count > 1,
      let kind = [HubKind.model, .dataset].first(where: { $0.plural == words[0] })
    else { return nil }
    let path = FilePath.join(root, name)
    let blobs = FilePath.join(path, "blobs")
    let names = (try? fileSystem.list(blobs)) ?? []
    let found = names.compactMap { blob in
      (try? fileSystem.status(FilePath.join(blobs, blob))) ?? nil
    }
    return HubRepository(
      kind: kind, id: words.dropFirst().joined(separator: "/"), path: path,
      commits: (try? fileSystem.list(FilePath.join(path, "snapshots"))) ?? [],
      byteCount: found.reduce(0) { $0 + $1.byteCount }, changed: found.map(\.changed).max() ?? 0,
      blobs: names)
  }

  /// Reads every byte of what has its digest for a name.
  ///
  /// - Returns: the findings; empty where all of it is intact.
  package func damages(of repository: HubRepository) -> [Diagnostic] {
    repository.blobs.compactMap { name in
      guard let digest = BlobDigest(name) else { return nil }
      let path = FilePath.join(FilePath.join(repository.path, "blobs"), name)
      do throws(Diagnostic) {
        guard try Self.digest(path, like: digest) != digest.hex else { return nil }
        return Diagnostic(
          .hubBlobDamaged, "a file of \(repository.id) is not what its name says",
          at: .file(path), remedy: "remove it, then fetch it again with `qlora download`")
      } catch {
        return error
      }
    }
  }

  private static func digest(
    _ path: String, like digest: BlobDigest
  ) throws(Diagnostic) -> String {
    let file = try InputFile(path: path)
    var hasher = BlobHasher(like: digest, byteCount: file.byteCount)
    let pieceBytes = 1 << 20
    for start in stride(from: 0, to: file.byteCount, by: pieceBytes) {
      let piece = try file.bytes(start..<min(start + pieceBytes, file.byteCount))
      piece.withUnsafeBytes { hasher.update($0) }
    }
    return hasher.hex
  }

  /// Removes what broken-off downloads left and no process goes on with.
  ///
  /// - Returns: what was removed.
  package func removeParts(of repository: HubRepository) throws(Diagnostic) -> [String] {
    var removed: [String] = []
    for name in repository.blobs where name.hasSuffix(PartialFile.suffix) {
      let path = FilePath.join(FilePath.join(repository.path, "blobs"), name)
      let digest = String(name.dropLast(PartialFile.suffix.count))
      let folder = FilePath.join(root, ".locks/" + FilePath.lastComponent(of: repository.path))
      try diagnosing { () throws(FileFailure) in try fileSystem.makeDirectories(folder) }
      let lock = try FileLock.take(FilePath.join(folder, digest + ".lock"))
      guard lock != nil else { continue }
      try diagnosing { () throws(FileFailure) in try fileSystem.removeTree(path) }
      withExtendedLifetime(lock) {}
      removed.append(path)
    }
    return removed
  }
}
