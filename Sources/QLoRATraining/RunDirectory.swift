// The directory of one run: its paths, its lock, and the rule on what may start in it.
import QLoRADiagnostics
import QLoRASystem

/// Locked for this process as long as it lives.
package final class RunDirectory: Sendable {
  package let path: String
  package let checkpoints: CheckpointStore
  package let fileSystem: any FileSystem
  private let lock: RunLock
  /// Whether this process made the directory.
  private let isNew: Bool

  /// Takes a directory for a run from step 1, creating it where need be.
  ///
  /// What a start without a committed checkpoint left is taken over: it would be written again.
  /// - Throws: exit code 73 where another process holds it, a checkpoint is committed in it, or
  ///   files would be overwritten that no start has left.
  package convenience init(
    starting path: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    let before = try diagnosing { () throws(FileFailure) in
      let status = try fileSystem.status(path)
      try fileSystem.makeDirectories(path)
      return status
    }
    try self.init(locking: path, isNew: before == nil, fileSystem)
    guard try checkpoints.steps().isEmpty else {
      throw Diagnostic(
        .runHasCheckpoint, "the run already has a committed checkpoint", at: .file(path),
        remedy: "continue it with `qlora resume \(path)`, or choose another output directory")
    }
    try checkNothingIsLost()
  }

  /// Whether `metrics.jsonl` is empty or begins as a start that was killed left it.
  private func isMetricsLog() throws(Diagnostic) -> Bool {
    let bytes = try diagnosing { () throws(FileFailure) in try fileSystem.readAll(metricsPath) }
    return bytes.isEmpty || bytes.starts(with: "{\"step\"".utf8)
  }

  /// Without a checkpoint, an adapter is somebody's result, and so is a log that no start wrote.
  private func checkNothingIsLost() throws(Diagnostic) {
    func holds(_ file: String) throws(Diagnostic) -> Bool {
      try diagnosing { () throws(FileFailure) in try fileSystem.status(file) != nil }
    }
    var endangered: [String] = []
    if try holds(adapterPath) { endangered.append(adapterPath) }
    if try holds(metricsPath), try !isMetricsLog() { endangered.append(metricsPath) }
    if let file = endangered.first {
      throw Diagnostic(
        .outputExists, "training would write here, but there is something already",
        at: .file(file), remedy: "choose another output directory, or remove it")
    }
  }

  /// Takes the directory of an existing run.
  ///
  /// - Throws: exit code 66 where there is none, 73 where another process holds it.
  package convenience init(
    resuming path: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    // Asked before the lock, whose file would be left in a directory that is no run.
    let isRun = try diagnosing { () throws(FileFailure) in
      guard let status = try fileSystem.status(path), status.kind != .file else { return false }
      let recipe = try fileSystem.status(FilePath.join(path, Self.recipeName))
      let checkpoints = try fileSystem.status(FilePath.join(path, Self.checkpointsName))
      return recipe != nil || checkpoints != nil
    }
    guard isRun else {
      throw Diagnostic(
        .pathMissing, "there is no run here", at: .file(path),
        remedy: "give the output folder of `qlora train`, which starts a run")
    }
    try self.init(locking: path, isNew: false, fileSystem)
  }

  private init(
    locking path: String, isNew: Bool, _ fileSystem: any FileSystem
  ) throws(Diagnostic) {
    self.path = path
    self.isNew = isNew
    self.fileSystem = fileSystem
    lock = try RunLock(path, patience: .seconds(1))
    checkpoints = CheckpointStore(FilePath.join(path, Self.checkpointsName), fileSystem)
    fileSystem.sweep(path)
    fileSystem.sweep(checkpoints.directory)
  }

  package static let recipeName = "recipe.resolved.json"
  package static let checkpointsName = "checkpoints"
  /// What a run knows of itself before its first step.
  package static let factsName = "run.json"

  /// After a start that failed before its first step: removes the directory if it was made for
  /// that start and holds nothing that anybody could want.
  package func abandon() {
    let worthless: Set = [RunLock.fileName, Self.recipeName, Self.factsName]
    guard isNew, let names = try? fileSystem.list(path), worthless.isSuperset(of: names) else {
      return
    }
    try? fileSystem.removeTree(path)
  }

  /// Removes an adapter folder that has to be written again.
  package func discardIncompleteAdapter() throws(Diagnostic) {
    let trash = FilePath.join(path, TemporaryName.trash("adapter"))
    try diagnosing { () throws(FileFailure) in
      guard try fileSystem.status(adapterPath) != nil else { return }
      try fileSystem.rename(adapterPath, to: trash, replacing: false)
      try fileSystem.synchronizeDirectory(path)
      try fileSystem.removeTree(trash)
    }
  }

  package var recipePath: String { FilePath.join(path, Self.recipeName) }
  package var metricsPath: String { FilePath.join(path, "metrics.jsonl") }
  package var lossChartPath: String { FilePath.join(path, "loss.svg") }
  package var reportPath: String { FilePath.join(path, "report.html") }
  package var factsPath: String { FilePath.join(path, Self.factsName) }
  package var samplesPath: String { FilePath.join(path, "samples.jsonl") }
  package var adapterPath: String { FilePath.join(path, "adapter") }
}
