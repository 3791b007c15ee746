// What a run must remember between steps beside tensors, as `state.json` of a checkpoint has it.
// Shuffles, dropout and the learning rate are pure functions of the step and need no memory.
import QLoRADiagnostics
import QLoRAJSON

package struct TrainingState: Sendable, Equatable {
  package static let formatVersion = 1
  /// How many losses the report of a divergence shows.
  static let recentLossCount = 20

  /// Optimizer steps done.
  package var step = 0
  package var tokens = 0
  package var labelledTokens = 0
  package var elapsedSeconds = 0.0
  package var bestEvaluationLoss: Double?
  /// Where it was measured; the checkpoint of that step, where there is one, is not pruned.
  package var bestEvaluationStep: Int?
  /// The evaluation after `step` is due but was interrupted.
  package var isEvaluationPending = false
  package var recentLosses: [Double] = []
  /// Steps among those done whose update was left out.
  package var skippedSteps = 0
  /// How often the run went back to a checkpoint.
  package var rollbacks = 0
  /// The length of `metrics.jsonl` at this point.
  package var metricsByteCount = 0

  package init() {}

  /// What the schedule's learning rate is multiplied by.
  var learningRateScale: Double { (0..<rollbacks).reduce(1) { rate, _ in rate / 2 } }

  mutating func record(_ metrics: StepMetrics) {
    step = metrics.step
    tokens += metrics.tokens
    labelledTokens += metrics.labelledTokens
    recentLosses = (recentLosses + [metrics.loss]).suffix(Self.recentLossCount)
  }

  /// The member with the resolved recipe.
  package static let recipeKey = "recipe"

  func json(identity: [CheckpointArtifacts.Identity], recipe: JSONValue? = nil) -> JSONValue {
    .dictionary([
      ("formatVersion", .int(Self.formatVersion)), ("step", .int(step)), ("tokens", .int(tokens)),
      ("labelledTokens", .int(labelledTokens)), ("elapsedSeconds", .double(elapsedSeconds)),
      ("bestEvaluationLoss", bestEvaluationLoss.map { .double($0) } ?? .null),
      ("bestEvaluationStep", bestEvaluationStep.map { .int($0) } ?? .null),
      ("isEvaluationPending", .bool(isEvaluationPending)),
      ("skippedSteps", .int(skippedSteps)), ("rollbacks", .int(rollbacks)),
      ("recentLosses", .list(recentLosses.map { .double($0) })),
      ("metricsByteCount", .int(metricsByteCount)),
      ("identity", .dictionary(identity.map { ($0.name, .string($0.value)) })),
    ] + (recipe.map { [(Self.recipeKey, $0)] } ?? []))
  }

  /// Reads `state.json` and insists on the same identity.
  init(
    parsing bytes: [UInt8], identity: [CheckpointArtifacts.Identity], file: String
  ) throws(Diagnostic) {
    guard let json = try? JSONValue(parsing: bytes),
      json["formatVersion"]?.intValue == Self.formatVersion, let step = json["step"]?.intValue,
      let tokens = json["tokens"]?.intValue, let labelled = json["labelledTokens"]?.intValue,
      let elapsed = json["elapsedSeconds"]?.doubleValue,
      let isPending = json["isEvaluationPending"]?.boolValue,
      let losses = json["recentLosses"]?.arrayValue?.compactMap(\.doubleValue),
      let byteCount = json["metricsByteCount"]?.intValue
    else {
      throw Diagnostic(
        .checkpointMismatch, "expected a state of format version \(Self.formatVersion)",
        at: .file(file), remedy: "resume with the version that made the checkpoint")
    }
    for expected in identity {
      let found = json["identity"]?[expected.name]?.stringValue
      guard found == expected.value else {
        throw Diagnostic(
          .resumeIdentity,
          "\(expected.name) changed since the checkpoint: it was \(found ?? "not recorded"), "
            + "and is \(expected.value)", at: .file(file),
          remedy: "restore it, or train into a new output directory")
      }
    }
    self.init()
    self.step = step
    self.tokens = tokens
    labelledTokens = labelled
    elapsedSeconds = elapsed
    bestEvaluationLoss = json["bestEvaluationLoss"]?.doubleValue
    isEvaluationPending = isPending
    recentLosses = losses
    // Earlier versions had none of these.
    bestEvaluationStep = json["bestEvaluationStep"]?.intValue
    skippedSteps = json["skippedSteps"]?.intValue ?? 0
    rollbacks = json["rollbacks"]?.intValue ?? 0
    metricsByteCount = byteCount
  }
}
