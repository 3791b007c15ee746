// The committed checkpoints of a run. The truth is the newest directory whose manifest verifies;
// nothing points to it, so nothing can point wrongly.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem

package struct CheckpointStore: Sendable {
  private static let prefix = "step-"
  /// Digits of a step in a name, so that names sort as numbers.
  private static let digitCount = 8

  package let directory: String
  package let fileSystem: any FileSystem

  package init(_ directory: String, _ fileSystem: any FileSystem = PosixFileSystem()) {
    self.directory = directory
    self.fileSystem = fileSystem
  }

  /// An intact checkpoint.
  package struct Checkpoint: Sendable {
    package let step: Int
    package let path: String
    package let manifest: CheckpointManifest
  }

  private static func name(step: Int) -> String {
    let digits = String(step)
    return prefix + String(repeating: "0", count: max(0, digitCount - digits.count)) + digits
  }

  package func path(step: Int) -> String { FilePath.join(directory, Self.name(step: step)) }

  /// Steps with a committed directory, intact or not, newest first.
  package func steps() throws(Diagnostic) -> [Int] {
    let names = try diagnosing { () throws(FileFailure) in
      try fileSystem.status(directory) == nil ? [] : try fileSystem.list(directory)
    }
    return names.compactMap { name in
      guard name.hasPrefix(Self.prefix), let step = Int(name.dropFirst(Self.prefix.count)),
        Self.name(step: step) == name
      else { return nil }
      return step
    }.sorted(by: >)
  }

  /// The newest checkpoint that verifies; damaged ones are named to `report` and left in place.
  package func newestIntact(
    report: (Diagnostic) -> Void = { _ in }
  ) throws(Diagnostic) -> Checkpoint? {
    for step in try steps() {
      let path = path(step: step)
      do throws(Diagnostic) {
        let manifest = try CheckpointManifest.verify(path, fileSystem)
        return Checkpoint(step: step, path: path, manifest: manifest)
      } catch {
        report(error)
      }
    }
    return nil
  }

  /// Commits a checkpoint, reads it back, and only then prunes older ones to `keep`.
  ///
  /// An intact checkpoint of this step is the same one, and stays. A damaged one, which a resume
  /// passed over, gives way.
  ///
  /// - Parameter keptSteps: of checkpoints that stay, however many are newer.
  /// - Throws: a diagnostic; then the checkpoints before are as they were.
  package func save(
    step: Int, expectedByteCount: Int, facts: [JSONMember], keep: Int,
    alsoKeeping keptSteps: Set<Int> = [], _ writeFiles: (AtomicDirectory) throws -> Void
  ) throws -> String {
    let path = path(step: step)
    if (try? CheckpointManifest.verify(path, fileSystem)) == nil {
      let pending = try AtomicDirectory(
        Self.name(step: step), in: directory, expectedByteCount: expectedByteCount, fileSystem)
      do {
        try writeFiles(pending)
        remove(path)
        _ = try pending.commit(facts: facts)
      } catch {
        pending.discard()
        throw error
      }
      try CheckpointManifest.verify(path, fileSystem)
    }
    prune(keep: keep, upTo: step, but: keptSteps)
    return path
  }

  /// The checkpoint of a step, where there is one and it verifies.
  package func intact(step: Int) -> Checkpoint? {
    let path = path(step: step)
    let manifest = try? CheckpointManifest.verify(path, fileSystem)
    return manifest.map { Checkpoint(step: step, path: path, manifest: $0) }
  }

  /// Removes what was saved after `step`, the newest first, for a run that goes back there.
  package func removeCheckpoints(after step: Int) throws(Diagnostic) {
    for later in try steps() where later > step { remove(path(step: later)) }
    guard try steps().allSatisfy({ $0 <= step }) else {
      throw FileFailure(.remove, directory, 0).diagnostic
    }
  }

  /// Keeps the newest `keep` intact checkpoints up to `step`. A checkpoint that cannot be removed
  /// only costs space, so nothing is reported.
  private func prune(keep: Int, upTo step: Int, but keptSteps: Set<Int>) {
    var kept = 0
    for candidate in (try? steps()) ?? [] where candidate <= step {
      let path = path(step: candidate)
      let isIntact = (try? CheckpointManifest.verify(path, fileSystem)) != nil
      if isIntact, kept < max(1, keep) || keptSteps.contains(candidate) {
        kept += 1
      } else if kept > 0 {
        remove(path)
      }
    }
  }

  /// Renamed first: a half-removed directory must not look like a damaged checkpoint.
  private func remove(_ path: String) {
    guard let status = try? fileSystem.status(path), status.kind == .directory else { return }
    let trash = FilePath.join(
      directory, TemporaryName.trash(FilePath.lastComponent(of: path)))
    guard (try? fileSystem.rename(path, to: trash, replacing: false)) != nil else { return }
    try? fileSystem.synchronizeDirectory(directory)
    try? fileSystem.removeTree(trash)
  }
}
