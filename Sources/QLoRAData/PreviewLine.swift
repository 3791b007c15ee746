// A sequence as `qlora preview --json` shows it: the contract's line format.
import QLoRADiagnostics
import QLoRAJSON

package struct PreviewLine: Sendable, Equatable {
  /// Counted from 1, as in metrics.
  package let step: Int
  /// Counted from 0 within the step.
  package let microBatch: Int
  /// Counted from 0 within the micro-batch.
  package let sequence: Int
  /// The rows that are packed in it.
  package let rows: [EncodedRow]
  package let content: PackedSequence

  package init(step: Int, microBatch: Int, sequence: Int, rows: [EncodedRow]) {
    self.step = step
    self.microBatch = microBatch
    self.sequence = sequence
    self.rows = rows
    content = PackedSequence(rows)
  }

  package var json: JSONValue {
    func list(_ numbers: [Int32]) -> JSONValue { .list(numbers.map { .int(Int($0)) }) }
    let members: [(String, JSONValue)] = [
      ("step", .int(step)), ("microBatch", .int(microBatch)), ("sequence", .int(sequence)),
      ("tokens", list(content.tokens)), ("labels", list(content.labels)),
      ("starts", .list(content.starts.map { .int($0) })),
    ]
    let hasClasses = !content.categories.isEmpty
    return .dictionary(members + (hasClasses ? [("classes", list(content.categories))] : []))
  }
}

extension BatchPlan {
  /// The first `count` sequences in training order.
  package func preview(_ count: Int) throws(Diagnostic) -> [PreviewLine] {
    var lines: [PreviewLine] = []
    var step = 1
    while step <= stepCount, lines.count < count {
      for (microBatch, sequences) in members(step: step).enumerated() {
        for (sequence, members) in sequences.enumerated() {
          let rows = try members.map { (index) throws(Diagnostic) in
            try self.rows.row(index)
          }
          lines.append(
            PreviewLine(step: step, microBatch: microBatch, sequence: sequence, rows: rows))
        }
      }
      step += 1
    }
    return Array(lines.prefix(count))
  }
}
