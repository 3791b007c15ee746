// The learning rate as a pure function of the step: nothing to save, nothing to restore.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Warm-up, then constant, linear or cosine, as the schedules of Hugging Face transformers.
package struct LearningRateSchedule: Sendable, Hashable {
  package enum Shape: String, Sendable, CaseIterable { case constant, linear, cosine }

  package var shape: Shape
  package var peak: Double
  package var warmupSteps: Int
  package var stepCount: Int

  package init(shape: Shape, peak: Double, warmupSteps: Int, stepCount: Int) {
    self.shape = shape
    self.peak = peak
    self.warmupSteps = warmupSteps
    self.stepCount = stepCount
  }

  /// The rate of step `step`, counted from 1: with s = step − 1 of S steps and w of warm-up,
  /// `peak · s / max(1, w)` for s < w, then `peak` times 1, `(S − s) / (S − w)` or
  /// `½ (1 + cos π (s − w) / (S − w))`.
  package func rate(step: Int) -> Double {
    let done = Double(step - 1)
    let warmup = Double(warmupSteps)
    if done < warmup { return peak * (done / max(1, warmup)) }
    let length = Double(max(1, stepCount - warmupSteps))
    switch shape {
    case .constant: return peak
    case .linear: return peak * max(0, (Double(stepCount) - done) / length)
    case .cosine: return peak * max(0, 0.5 * (1 + cos(.pi * ((done - warmup) / length))))
    }
  }
}
