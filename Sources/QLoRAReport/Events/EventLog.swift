// `events.out.tfevents.*`: the numbers of `metrics.jsonl` as TensorBoard reads them. It listens to
// a run and cannot change it; a file that cannot be written costs a warning.
import QLoRADiagnostics
import QLoRASystem
import QLoRATraining

/// Every start of a run begins a file of its own, whose head tells readers to forget what they have
/// read of the steps that are done again. So a kill leaves nothing that counts twice, and a
/// TensorBoard that watches all the time sees the same curve as one that starts later. Files before
/// are never touched: a reader may have them open.
package final class EventLog {
  package static let prefix = "events.out.tfevents."
  /// Tells our files from those of other tools in the same folder.
  private static let suffix = ".qlora"

  private let folder: String
  private let metricsPath: String
  private let fileSystem: any FileSystem
  private let now: () -> Double
  private var file: AppendedFile?
  private var lastStep = 0
  private var isFailing = false

  /// - Parameter now: seconds since 1970.
  package init(_ run: RunDirectory, now: @escaping () -> Double) {
    folder = run.path
    metricsPath = run.metricsPath
    fileSystem = run.fileSystem
    self.now = now
  }

  /// Takes over what an event says.
  ///
  /// - Returns: the first of a row of failures.
  package func note(_ event: TrainingEvent) -> Diagnostic? {
    do throws(Diagnostic) {
      switch event {
      case .started(let step, _, _): try begin(after: step)
      case .step(let metrics):
        // A run that rolled back goes through steps again.
        if metrics.step <= lastStep { try begin(after: metrics.step - 1) }
        try append([Self.record(metrics, at: now())])
        lastStep = metrics.step
      case .evaluation(let metrics):
        try append([Self.record(evaluation: metrics.loss, step: metrics.step, at: now())])
      case .checkpointSaved, .interrupted, .finished: try file?.synchronize()
      case .evaluating, .warning: return nil
      }
      isFailing = false
      return nil
    } catch {
      defer { isFailing = true }
      return isFailing ? nil : error
    }
  }

  private func append(_ records: [EventRecord]) throws(Diagnostic) {
    try file?.append(records.flatMap(\.bytes))
  }

  /// Begins a file for what comes after `step`, with what the log has of that step itself: its
  /// evaluation may be one that is done again.
  private func begin(after step: Int) throws(Diagnostic) {
    file = nil
    let (old, history) = try diagnosing { () throws(FileFailure) in
      let names = try fileSystem.list(folder).filter {
        $0.hasPrefix(Self.prefix) && $0.hasSuffix(Self.suffix)
      }
      return (names, RunHistory(metrics: try fileSystem.readAll(metricsPath)))
    }
    // Readers take files by their names, and two starts may fall into a second.
    let newest = old.compactMap { Int($0.dropFirst(Self.prefix.count).dropLast(Self.suffix.count)) }
    let name = max(Int(now()), (newest.max() ?? 0) + 1)
    let path = FilePath.join(folder, "\(Self.prefix)\(name)\(Self.suffix)")
    file = try diagnosing { () throws(FileFailure) in
      try AppendedFile(path, keeping: 0, of: 0, fileSystem)
    }
    lastStep = step
    let time = now()
    try append(
      [
        EventRecord(wallTime: time, step: 0, content: .fileVersion),
        EventRecord(wallTime: time, step: step, content: .sessionStart),
      ]
        + history.steps.filter { $0.step == step }.map { Self.record($0, at: time) }
        + history.evaluations.filter { $0.step == step }.map {
          Self.record(evaluation: $0.loss, step: step, at: time)
        })
  }

  // MARK: Records

  package enum Tag {
    package static let loss = "train/loss"
    package static let learningRate = "train/learning_rate"
    package static let gradientNorm = "train/gradient_norm"
    package static let tokensPerSecond = "train/tokens_per_second"
    package static let peakMemory = "train/peak_memory_mib"
    package static let evaluationLoss = "eval/loss"
  }

  private static func record(_ metrics: StepMetrics, at time: Double) -> EventRecord {
    let bytesPerMebibyte = 1_048_576.0
    return EventRecord(
      wallTime: time, step: metrics.step,
      content: .scalars([
        .init(Tag.loss, metrics.loss), .init(Tag.learningRate, metrics.learningRate),
        .init(Tag.gradientNorm, metrics.gradientNorm),
        .init(Tag.tokensPerSecond, metrics.tokensPerSecond),
        .init(Tag.peakMemory, Double(metrics.peakMemoryBytes) / bytesPerMebibyte),
      ]))
  }

  private static func record(evaluation loss: Double, step: Int, at time: Double) -> EventRecord {
    EventRecord(
      wallTime: time, step: step, content: .scalars([.init(Tag.evaluationLoss, loss)]))
  }
}
