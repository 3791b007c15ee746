// A proof on the user's own recipe that a stopped and resumed run ends with the bits of one that
// was not stopped.

import QLoRADiagnostics
import QLoRARecipe
import QLoRASystem
import QLoRATraining

/// What the three stretches of a proof tell their listener.
package enum ResumeProofStage: String, Sendable {
  case uninterrupted, stopped, resumed
}

package struct ResumeProof: Sendable {
  package var comparison: RunComparison
  package var stepCount: Int
  /// The step after which the second run was stopped, within the next.
  package var stoppedAfterStep: Int

  /// What `verify-resume` fails with; nil where the runs are the same.
  package var problem: Diagnostic? {
    comparison.firstDifference.map { item in
      Diagnostic(
        .resumeDiffers,
        "stopped after step \(stoppedAfterStep) of \(stepCount) and resumed, the run differs in "
          + "\(item.name): \(item.difference ?? "")",
        remedy: "please report this as a bug, with the recipe and what `qlora doctor` prints")
    }
  }
}

extension Pipeline {
  /// Trains twice in `folder`, which is gone afterwards: once through, and once stopped in the
  /// middle and resumed. Then compares everything but times and memory.
  ///
  /// - Parameter alter: is called with the resumed run's folder before the comparison, for tests.
  /// - Throws: what training throws, and `stopped` where a signal arrives.
  package static func verifyResume(
    _ resolved: ResolvedRecipe, in folder: String, cache: WeightCache? = nil,
    interruption: @escaping () -> Int32? = TrainingRun.stopOnSignals(),
    events: @escaping (ResumeProofStage, RunEvent) -> Void = { _, _ in },
    alter: (String) throws -> Void = { _ in }
  ) throws -> ResumeProof {
    let files = PosixFileSystem()
    defer { try? files.removeTree(folder) }
    try diagnosing { () throws(FileFailure) in try files.makeDirectories(folder) }
    func recipe(_ name: String) -> ResolvedRecipe {
      resolved.withoutLimit(writingTo: FilePath.join(folder, name))
    }
    func checkNotStopped(_ outcome: RunOutcome) throws {
      guard outcome.interrupted else { return }
      throw Diagnostic(
        .proofStopped, "stopped by a signal before the runs could be compared",
        remedy: "run it again; nothing was kept")
    }
    // Every poll is a place where a run can stop; the middle one is in the middle of the run.
    var polls = 0
    let whole = try train(
      recipe("uninterrupted"), cache: cache,
      interruption: {
        polls += 1
        return interruption()
      }, events: { events(.uninterrupted, $0) })
    try checkNotStopped(whole)
    var left = polls / 2
    let stopped = try train(
      recipe("resumed"), cache: cache,
      interruption: {
        left -= 1
        return left < 0 ? 0 : interruption()
      }, events: { events(.stopped, $0) })
    if left >= 0 { try checkNotStopped(stopped) }
    let resumed = try resume(
      runDirectory: stopped.runDirectory, cache: cache, interruption: interruption,
      events: { events(.resumed, $0) })
    try checkNotStopped(resumed)
    try alter(resumed.runDirectory)
    return ResumeProof(
      comparison: try RunComparison(whole.runDirectory, resumed.runDirectory),
      stepCount: whole.step, stoppedAfterStep: stopped.step)
  }
}
