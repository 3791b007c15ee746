// Evaluation on the validation data after a step. It changes no parameter, so it can be abandoned
// and repeated by a resumed run.
import QLoRADiagnostics
import QLoRATensor

extension Trainer {
  func evaluate() throws {
    let batches = inputs.validation
    var sum = 0.0
    var correct: Int?
    for (index, batch) in batches.enumerated() {
      try checkInterruption()
      let found = try inputs.model.evaluate(batch)
      sum += found.lossSum
      if let count = found.correct { correct = (correct ?? 0) + count }
      events(.evaluating(step: state.step, done: index + 1, count: batches.count))
    }
    try inputs.backend.checkHealth()
    guard sum.isFinite else { throw evaluationNotFinite() }
    let labelled = batches.reduce(0) { $0 + $1.labelledCount }
    let loss = sum / Double(max(1, labelled))
    let isBest = loss < state.bestEvaluationLoss ?? .infinity
    if isBest { (state.bestEvaluationLoss, state.bestEvaluationStep) = (loss, state.step) }
    state.isEvaluationPending = false
    state.elapsedSeconds = elapsedSeconds
    let metrics = EvaluationMetrics(
      step: state.step, loss: loss, labelledTokens: labelled, isBest: isBest,
      accuracy: correct.map { Double($0) / Double(max(1, labelled)) })
    append(metrics.json)
    events(.evaluation(metrics))
  }
}
