// The directory of one run: its paths, its lock, and the rule on what may start in it.
import QLoRADiagnostics
import QLoRASystem

/// Locked for this process as long as it lives.
package final class RunDirectory: Sendable {
  package let path: String
  package let checkpoints: CheckpointStore
  package let fileSystem: any FileSystem
  private let lock: RunLock

  /// Takes a directory for a run from step 1, creating it where need be.
  ///
  /// - Throws: exit code 73 where another process holds it or a checkpoint is committed in it.
  package convenience init(
    starting path: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    try diagnosing { () throws(FileFailure) in try fileSystem.makeDirectories(path) }
    try self.init(locking: path, fileSystem)
    guard try checkpoints.steps().isEmpty else {
      throw Diagnostic(
        .runHasCheckpoint, "the run already has a committed checkpoint", at: .file(path),
        remedy: "continue it with `qlora resume \(path)`, or choose another output directory")
    }
  }

  /// Takes the directory of an existing run.
  ///
  /// - Throws: exit code 66 where there is none, 73 where another process holds it.
  package convenience init(
    resuming path: String, _ fileSystem: any FileSystem = PosixFileSystem()
  ) throws(Diagnostic) {
    let status = try diagnosing { () throws(FileFailure) in try fileSystem.status(path) }
    guard status != nil else {
      throw Diagnostic(
        .fileMissing, "there is no run here", at: .file(path),
        remedy: "`qlora runs ls` lists the runs; `qlora train` starts one")
    }
    try self.init(locking: path, fileSystem)
  }

  private init(locking path: String, _ fileSystem: any FileSystem) throws(Diagnostic) {
    self.path = path
    self.fileSystem = fileSystem
    lock = try RunLock(path)
    checkpoints = CheckpointStore(FilePath.join(path, "checkpoints"), fileSystem)
    fileSystem.sweep(path)
    fileSystem.sweep(checkpoints.directory)
  }

  package var recipePath: String { FilePath.join(path, "recipe.resolved.json") }
  package var metricsPath: String { FilePath.join(path, "metrics.jsonl") }
  package var lossChartPath: String { FilePath.join(path, "loss.svg") }
  package var reportPath: String { FilePath.join(path, "report.html") }
  package var adapterPath: String { FilePath.join(path, "adapter") }
}
