// How the work of a run is spread over its steps: by their shapes alone, because steps have unequal
// numbers of tokens.

import QLoRAData
import QLoRAFormats
import QLoRATensor

struct RunWork {
  /// Steps beyond so many are as those before: looking at each row of a huge run takes too long.
  private static let mostSteps = 2000

  /// Floating-point operations of all steps.
  let total: Double
  /// Of those looked at.
  let stepOfLargestBatch: Int?
  private let byStep: [Int: Double]

  /// - Throws: where rows that went to a file can't be read.
  init(_ plan: BatchPlan, _ config: ModelConfig, adapterParameters: Int) throws {
    let stride = max(1, (plan.stepCount + Self.mostSteps - 1) / Self.mostSteps)
    var byStep: [Int: Double] = [:]
    var largest = (step: 0, tokens: 0)
    var sum = 0.0
    for step in Swift.stride(from: 1, through: plan.stepCount, by: stride) {
      let batches = try plan.microBatches(step: step).map(\.tokenBatch)
      let cost = StepCost(config, batches, adapterParameters: adapterParameters)
      let tokens = batches.reduce(0) { $0 + $1.tokens.count }
      let operations = cost.operationsPerToken(recomputing: false) * Double(tokens)
      byStep[step] = operations
      sum += operations
      let most = batches.map(\.tokens.count).max() ?? 0
      if most > largest.tokens { largest = (step, most) }
    }
    self.byStep = byStep
    total = sum * Double(plan.stepCount) / Double(max(1, byStep.count))
    stepOfLargestBatch = largest.step > 0 ? largest.step : nil
  }

  /// Of a step; the mean where it was not looked at.
  func operations(step: Int) -> Double {
    byStep[step] ?? byStep.values.reduce(0, +) / Double(max(1, byStep.count))
  }
}
