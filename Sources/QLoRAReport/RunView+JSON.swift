// A run as `qlora runs --json` and the dashboard tell it.
import QLoRAJSON

extension RunView {
  package var json: JSONValue {
    func number(_ value: Double?) -> JSONValue { value.map { .double($0) } ?? .null }
    let accuracy = evaluationAccuracy.map { [("evalAccuracy", JSONValue.double($0))] } ?? []
    let members: [(String, JSONValue)] = [
      ("path", .string(path)), ("name", .string(name)), ("state", .string(state.rawValue)),
      ("failure", (state == .failed ? facts?.failure : nil).map { .string($0) } ?? .null),
      ("step", .int(step)), ("steps", stepCount.map { .int($0) } ?? .null),
      ("loss", number(lastLoss)), ("evalLoss", number(evaluationLoss)),
      ("bestEvalLoss", number(history.bestEvaluation?.loss)),
      ("bestEvalStep", history.bestEvaluation.map { .int($0.step) } ?? .null),
      ("elapsedSeconds", .double(history.elapsedSeconds)),
      ("tokensPerSecond", number(history.meanTokensPerSecond)),
      ("peakMemoryBytes", .int(history.peakMemoryBytes)),
      ("checkpoints", .list(checkpointSteps.sorted().map { .int($0) })),
    ]
    return .dictionary(members + accuracy)
  }
}
