// The cache that the hub's own libraries share: where things lie in it, and what is there. It never
// asks a server.
import QLoRADiagnostics
import QLoRASystem

/// `ROOT/models--ORG--NAME/{refs,blobs,snapshots,trees}`.
package struct HubCache: Sendable {
  package let root: String
  let fileSystem: any FileSystem

  package init(root: String, _ fileSystem: any FileSystem = PosixFileSystem()) {
    self.root = root
    self.fileSystem = fileSystem
  }

  /// `HF_HUB_CACHE`, else `hub` in `HF_HOME`, `XDG_CACHE_HOME/huggingface` or
  /// `~/.cache/huggingface`; nil where no variable names a place.
  package init?(environment: [String: String]) {
    guard let root = HubVariables(environment).cache else { return nil }
    self.init(root: root)
  }

  func folder(_ reference: HubReference) -> String {
    FilePath.join(root, reference.folderName)
  }

  func path(_ reference: HubReference, _ parts: String...) -> String {
    parts.reduce(folder(reference), FilePath.join)
  }

  func blob(_ reference: HubReference, _ digest: BlobDigest) -> String {
    path(reference, "blobs", digest.hex)
  }

  package func snapshot(_ reference: HubReference, _ commit: String) -> String {
    path(reference, "snapshots", commit)
  }

  /// The commit that a revision was at when it was last asked for; nil where it never was.
  package func commit(_ reference: HubReference) -> String? {
    if BlobDigest.isCommit(reference.revision) { return reference.revision }
    guard let file = try? InputFile.openIfPresent(path(reference, "refs", reference.revision)),
      let bytes = try? file.wholeBytes(limit: 128)
    else { return nil }
    let text = String(decoding: bytes.filter { $0 > 0x20 }, as: UTF8.self)
    return BlobDigest.isCommit(text) ? text : nil
  }

  func listing(_ reference: HubReference, _ commit: String) -> HubListing? {
    HubListing(record: path(reference, "trees", commit + ".json"), commit: commit)
  }

  /// Whether the snapshot has the file, of the right size.
  func holds(_ file: HubFile, _ reference: HubReference, _ commit: String) -> Bool {
    let place = FilePath.join(snapshot(reference, commit), file.name)
    guard let found = try? InputFile.openIfPresent(place) else { return false }
    return file.byteCount.map { $0 == found.byteCount } ?? true
  }

  /// Whether the whole file is among the blobs, for whatever commit.
  func holds(_ digest: BlobDigest, byteCount: Int, _ reference: HubReference) -> Bool {
    let found = try? InputFile.openIfPresent(blob(reference, digest))
    return found?.byteCount == byteCount
  }

  // MARK: Writing

  /// Gives a blob its name in a snapshot.
  func link(
    _ name: String, to digest: BlobDigest, _ reference: HubReference, _ commit: String
  ) throws(FileFailure) {
    let place = FilePath.join(snapshot(reference, commit), name)
    let parent = FilePath.parent(of: place)
    try fileSystem.makeDirectories(parent)
    let upwards = String(repeating: "../", count: name.split(separator: "/").count + 1)
    let temporary = FilePath.join(
      parent, TemporaryName.temporary(String(FilePath.lastComponent(of: place).prefix(100))))
    try fileSystem.makeLink(temporary, to: "\(upwards)blobs/\(digest.hex)")
    do throws(FileFailure) {
      try fileSystem.rename(temporary, to: place, replacing: true)
    } catch {
      try? fileSystem.remove(temporary)
      throw error
    }
  }

  /// Remembers what a revision is, once all of it is there.
  func record(_ reference: HubReference, is commit: String) throws(Diagnostic) {
    guard reference.revision != commit, self.commit(reference) != commit else { return }
    try write(path(reference, "refs", reference.revision), commit)
  }

  func record(_ listing: HubListing, _ reference: HubReference) throws(Diagnostic) {
    guard let text = listing.record else { return }
    try write(path(reference, "trees", listing.commit + ".json"), text)
  }

  private func write(_ path: String, _ text: String) throws(Diagnostic) {
    do {
      try AtomicFile.write(path, Array(text.utf8), fileSystem)
    } catch {
      throw error as? Diagnostic ?? FileFailure(.write, path, 0).diagnostic
    }
  }
}
