// Attention in double precision, causal or of all rows, straight from its definition: the oracle of
// the tests.
import Foundation
import QLoRATensor
import TestSupport

struct AttentionOracle {
  let layout: AttentionLayout
  let query: [Double]
  let key: [Double]
  let value: [Double]
  let bounds: [Int]

  var tokens: Int { bounds.last! }
  private var size: Int { layout.headSize }
  private func queryIndex(_ row: Int, _ head: Int) -> Int { (row * layout.heads + head) * size }
  private func keyIndex(_ row: Int, _ head: Int) -> Int {
    (row * layout.kvHeads + head / (layout.heads / layout.kvHeads)) * size
  }

  /// softmax of row `row` of `head` over the rows of its sequence that it sees, and log Σ exp.
  private func probabilities(_ row: Int, _ head: Int, _ start: Int) -> ([Double], Double) {
    let end = layout.isCausal ? row + 1 : bounds.first { $0 > row }!
    let (q, size) = (queryIndex(row, head), size)
    var scores = (start..<end).map { column in
      let k = keyIndex(column, head)
      return (0..<size).reduce(0.0) { $0 + query[q + $1] * key[k + $1] } * Double(layout.scale)
    }
    let peak = scores.max()!
    let sum = scores.reduce(0) { $0 + exp($1 - peak) }
    for i in scores.indices { scores[i] = exp(scores[i] - peak) / sum }
    return (scores, peak + log(sum))
  }

  private func eachRow(_ body: (_ start: Int, _ row: Int, _ head: Int) -> Void) {
    for (start, end) in zip(bounds, bounds.dropFirst()) {
      for row in start..<end { for head in 0..<layout.heads { body(start, row, head) } }
    }
  }

  func forward() -> (output: [Double], logSumExp: [Double]) {
    var output = [Double](repeating: 0, count: query.count)
    var logSumExp = [Double](repeating: 0, count: layout.heads * tokens)
    eachRow { start, row, head in
      let (p, total) = probabilities(row, head, start)
      logSumExp[head * tokens + row] = total
      let o = queryIndex(row, head)
      for (column, weight) in zip(start..., p) {
        let v = keyIndex(column, head)
        for d in 0..<size { output[o + d] += weight * value[v + d] }
      }
    }
    return (output, logSumExp)
  }

  func backward(
    _ outputGradient: [Double]
  ) -> (query: [Double], key: [Double], value: [Double]) {
    let output = forward().output
    var dQuery = [Double](repeating: 0, count: query.count)
    var dKey = [Double](repeating: 0, count: key.count)
    var dValue = dKey
    eachRow { start, row, head in
      let (p, _) = probabilities(row, head, start)
      let o = queryIndex(row, head)
      let delta = (0..<size).reduce(0.0) { $0 + outputGradient[o + $1] * output[o + $1] }
      for (column, weight) in zip(start..., p) {
        let k = keyIndex(column, head)
        let dP = (0..<size).reduce(0.0) { $0 + outputGradient[o + $1] * value[k + $1] }
        let dS = weight * (dP - delta) * Double(layout.scale)
        for d in 0..<size {
          dValue[k + d] += weight * outputGradient[o + d]
          dQuery[o + d] += dS * key[k + d]
          dKey[k + d] += dS * query[o + d]
        }
      }
    }
    return (dQuery, dKey, dValue)
  }
}

/// One attention problem with its tensors, seeded.
struct AttentionCase: CustomStringConvertible, Sendable {
  var lengths: [Int]
  var heads: Int
  var kvHeads: Int
  var headSize: Int
  var dtype: DType = .float32
  var isCausal = true
  /// Standard deviation of queries and keys.
  var spread: Float = 1

  var description: String {
    "\(lengths) tokens, \(heads)/\(kvHeads) heads of \(headSize), \(dtype)"
      + (isCausal ? "" : ", all rows seen")
  }

  var bounds: [Int] { lengths.reduce(into: [0]) { $0.append($0.last! + $1) } }
  var tokens: Int { lengths.reduce(0, +) }
  var layout: AttentionLayout {
    AttentionLayout(
      heads: heads, kvHeads: kvHeads, headSize: headSize,
      scale: 1 / Float(headSize).squareRoot(), isCausal: isCausal)
  }
  var queryShape: Shape { [tokens, heads * headSize] }
  var keyShape: Shape { [tokens, kvHeads * headSize] }
}

struct AttentionData {
  let problem: AttentionCase
  let query: Tensor
  let key: Tensor
  let value: Tensor
  let outputGradient: Tensor

  init(_ problem: AttentionCase, seed: UInt64 = 1) {
    var random = SeededGenerator(seed: seed)
    self.problem = problem
    let (queries, keys) = (problem.queryShape, problem.keyShape)
    query = Tensor(random.normals(queries.count, scale: problem.spread), queries, problem.dtype)
    key = Tensor(random.normals(keys.count, scale: problem.spread), keys, problem.dtype)
    value = Tensor(random.normals(keys.count), keys, problem.dtype)
    outputGradient = Tensor(random.normals(queries.count), queries, .float32)
  }

  var oracle: AttentionOracle {
    AttentionOracle(
      layout: problem.layout, query: query.floats().map(Double.init),
      key: key.floats().map(Double.init), value: value.floats().map(Double.init),
      bounds: problem.bounds)
  }
}
