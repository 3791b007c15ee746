// One optimizer step: accumulate, average, check, clip, update.
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor

extension Trainer {
  /// Norms and rates up to here keep finite parameters and moments finite: even a product of two
  /// leaves float32 eight decimal digits of room.
  private static let largestHarmless = 1e15
  /// Bits of the dropout stream that number the micro-batch within a step.
  private static let microBatchBits: UInt64 = 24

  /// Runs step `step`; everything before the update can be abandoned without a trace.
  ///
  /// A step without a labelled token has loss 0 and gradients 0.
  func trainStep(_ step: Int) throws {
    let clock = ContinuousClock()
    let start = clock.now
    try checkInterruption()
    let batches = try inputs.batches.microBatches(step: step)
    gradients.clear()
    var lossSum = 0.0
    for (index, batch) in batches.enumerated() {
      try checkInterruption()
      let stream = UInt64(step) << Self.microBatchBits | UInt64(index)
      lossSum += try inputs.model.accumulateGradients(batch, dropoutStream: stream)
      try inputs.backend.checkHealth()
      guard lossSum.isFinite else { throw lossNotFinite(step, index, batches, stream) }
    }
    let labelled = batches.reduce(0) { $0 + $1.labelledCount }
    gradients.average(over: labelled)
    let norm = gradients.norm
    guard norm.isFinite else { throw gradientNotFinite(step) }
    gradients.clip(norm: norm, to: options.maximumGradientNorm)
    let rate = options.schedule.rate(step: step) * state.learningRateScale
    optimizer.update(learningRate: rate)
    try inputs.backend.checkHealth()
    if max(norm, rate) > Self.largestHarmless { try checkUpdate(step) }

    let tokens = batches.reduce(0) { $0 + $1.tokens.count }
    let seconds = (clock.now - start).seconds
    state.elapsedSeconds = elapsedSeconds
    report(
      StepMetrics(
        step: step, loss: lossSum / Double(max(1, labelled)), learningRate: rate,
        gradientNorm: norm, tokens: tokens, labelledTokens: labelled,
        tokensPerSecond: seconds > 0 ? Double(tokens) / seconds : 0,
        peakMemoryBytes: ProcessMemory.peakByteCount, elapsedSeconds: state.elapsedSeconds))
  }

  private func report(_ metrics: StepMetrics) {
    state.record(metrics)
    append(metrics.json)
    events(.step(metrics))
  }
}

extension Duration {
  /// As a floating-point number.
  var seconds: Double {
    let (whole, attoseconds) = components
    return Double(whole) + Double(attoseconds) * 1e-18
  }
}
