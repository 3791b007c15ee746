// Loss, gradient, parameters and moments that are not finite: found before they can do harm, named
// as exactly as possible, and then halted at, skipped or rolled back as the recipe says.
import QLoRADiagnostics
import QLoRAJSON
import QLoRASystem
import QLoRATensor

/// A step that must not count as it is. It never leaves this module.
struct NonFiniteStep: Error {
  enum Cause: String {
    case loss, gradient, update, evaluation

    /// Whether the state before the step is sound.
    var isBeforeUpdate: Bool { self == .loss || self == .gradient }
  }

  let step: Int
  let cause: Cause
  let diagnostic: Diagnostic
}

extension Trainer {
  /// Rows that a message names; a packed step may have hundreds.
  private static let namedRowCount = 8
  /// Tensors that are looked at together where a device answers once for them.
  private static let checkedBytes = 64 << 20

  // MARK: Finding

  func lossNotFinite(
    _ step: Int, _ index: Int, _ batches: [TokenBatch], _ dropoutStream: UInt64
  ) -> NonFiniteStep {
    let layer = inputs.model.firstNonFinite(batches[index], dropoutStream: dropoutStream)
    return failure(
      step, .loss, .lossNotFinite,
      "the loss of step \(step) is not finite in micro-batch \(index + 1) of \(batches.count)"
        + (layer.map { ", first behind \($0)" } ?? "") + rows(step, index))
  }

  func gradientNotFinite(_ step: Int) -> NonFiniteStep {
    let name = gradients.firstNonFinite?.name ?? "all parameters together"
    return failure(
      step, .gradient, .gradientNotFinite,
      "the gradient of step \(step) is not finite, first in \(name)" + rows(step, nil))
  }

  func evaluationNotFinite() -> NonFiniteStep {
    failure(
      state.step, .evaluation, .lossNotFinite,
      "the evaluation loss after step \(state.step) is not finite")
  }

  /// Parameters and moments after an update that may have spoiled them, and before every save.
  func checkUpdate(_ step: Int) throws {
    guard let broken = firstNonFiniteUpdated else { return }
    throw failure(
      step, .update, .parameterNotFinite,
      "after the update of step \(step), \(broken) is not finite"
        + (step > 0 ? rows(step, nil) : ""))
  }

  /// The name of the first parameter or optimizer state with a value that is not finite; codes of
  /// 8 bits are finite, their scales may not be.
  var firstNonFiniteUpdated: String? {
    // States on the host's disk come one by one, so that no two must be in memory.
    let most = inputs.backend.hasOutsideMemory ? Self.checkedBytes : 0
    var rest = updated.filter { $0.tensor.dtype == .float32 }[...]
    while let next = rest.first {
      defer { optimizer.releasePages() }
      var bytes = next.tensor.byteCount
      let others = rest.dropFirst().prefix {
        bytes += $0.tensor.byteCount
        return bytes <= most
      }
      let checked = [next] + others
      let sums = inputs.backend.sumsOfSquares(checked.map(\.tensor))
      if let index = sums.firstIndex(where: { !$0.isFinite }) { return checked[index].name }
      rest = rest.dropFirst(checked.count)
    }
    return nil
  }

  /// ` (rows …)` of one micro-batch or of all.
  private func rows(_ step: Int, _ index: Int?) -> String {
    let all = inputs.batches.rowNames(step: step)
    let names = index.map { all.indices.contains($0) ? all[$0] : [] } ?? all.flatMap { $0 }
    guard !names.isEmpty else { return "" }
    let rest = names.count - Self.namedRowCount
    let more = rest > 0 ? " and \(rest) more" : ""
    return " (of \(names.prefix(Self.namedRowCount).joined(separator: ", "))\(more))"
  }

  private func failure(
    _ step: Int, _ cause: NonFiniteStep.Cause, _ code: DiagnosticCode, _ what: String
  ) -> NonFiniteStep {
    NonFiniteStep(step: step, cause: cause, diagnostic: diverged(code, what))
  }

  func diverged(_ code: DiagnosticCode, _ what: String) -> Diagnostic {
    let losses = state.recentLosses.map { "\($0)" }.joined(separator: ", ")
    let history = losses.isEmpty ? "" : " (the losses before: \(losses))"
    return Diagnostic(
      code, what + history, at: .file(run.path),
      remedy: "lower training.optimizer.learningRate; no checkpoint was made of this step")
  }

  // MARK: Going on

  /// Whether what `body` does counts; false where it was not finite and the run went back.
  func counts(_ body: () throws -> Void) throws -> Bool {
    do {
      try body()
      return true
    } catch let failure as NonFiniteStep {
      return try leaveOut(failure)
    }
  }

  /// Does with a step that failed what the options say.
  ///
  /// - Returns: whether the step counts as done; else the run goes on behind a checkpoint.
  /// - Throws: the failure's diagnostic where the run is to end.
  private func leaveOut(_ failure: NonFiniteStep) throws -> Bool {
    switch options.onNonFinite {
    case .skip(let limit)
    where failure.cause.isBeforeUpdate && state.skippedSteps < limit:
      skip(failure)
      return true
    case .rollback(let limit) where state.rollbacks < limit:
      guard let checkpoint = rollbackTarget else { throw failure.diagnostic }
      try rollBack(failure, to: checkpoint)
      return false
    default: throw failure.diagnostic
    }
  }

  private func skip(_ failure: NonFiniteStep) {
    state.step = failure.step
    state.skippedSteps += 1
    state.elapsedSeconds = elapsedSeconds
    record(failure, "skip")
  }

  private var rollbackTarget: CheckpointStore.Checkpoint? {
    rollbackStep.flatMap { $0 > 0 ? run.checkpoints.intact(step: $0) : nil }
  }

  /// Nothing of what came after the checkpoint stays, so that a resume from there does the same.
  private func rollBack(
    _ failure: NonFiniteStep, to checkpoint: CheckpointStore.Checkpoint
  ) throws {
    let (rollbacks, elapsed) = (state.rollbacks + 1, elapsedSeconds)
    try run.checkpoints.removeCheckpoints(after: checkpoint.step)
    try restore(checkpoint)
    state.rollbacks = rollbacks
    state.elapsedSeconds = elapsed
    // The checkpoint on disk has another learning rate before it.
    log = nil
    log = try JSONLinesWriter(run.metricsPath, keeping: state.metricsByteCount, run.fileSystem)
    record(failure, "rollback")
  }

  private func record(_ failure: NonFiniteStep, _ action: String) {
    append(
      .dictionary([
        ("step", .int(failure.step)), ("nonFinite", .string(failure.cause.rawValue)),
        ("action", .string(action)),
      ]))
    events(.warning(failure.diagnostic))
  }
}
