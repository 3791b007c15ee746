// Attention between sequences and with biases by distance, against finite differences of a
// double-precision forward, by the kernels of every instruction set.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

/// Sizes, spans and what queries see.
private struct SpanCase: Sendable, CustomTestStringConvertible {
  let heads: Int
  let kvHeads: Int
  let size: Int
  let queries: [Int]
  let keys: [Int]
  var offset = 0
  var isCausal = false
  var reach = 0

  var layout: AttentionLayout {
    AttentionLayout(
      heads: heads, kvHeads: kvHeads, headSize: size, scale: 0.7, isCausal: isCausal)
  }
  var testDescription: String {
    "\(heads)/\(kvHeads)×\(size) \(queries) of \(keys) causal \(isCausal) reach \(reach)"
  }

  static let all = [
    SpanCase(heads: 1, kvHeads: 1, size: 8, queries: [0, 1], keys: [0, 1]),
    SpanCase(heads: 2, kvHeads: 2, size: 8, queries: [0, 3, 4], keys: [0, 1, 6]),
    SpanCase(heads: 4, kvHeads: 2, size: 16, queries: [0, 2, 2, 5], keys: [0, 3, 4, 6]),
    SpanCase(
      heads: 2, kvHeads: 2, size: 24, queries: [0, 7], keys: [0, 7], isCausal: true, reach: 3),
    SpanCase(heads: 2, kvHeads: 1, size: 8, queries: [0, 5, 6], keys: [0, 5, 6], reach: 2),
    SpanCase(
      heads: 2, kvHeads: 2, size: 8, queries: [0, 2], keys: [0, 6], offset: 4, isCausal: true,
      reach: 4),
  ]
}

@Suite struct SpanAttentionTests {
  /// `softmax(scale·QKᵀ + bias)·V`.
  private func forward(
    _ q: [Double], _ k: [Double], _ v: [Double], _ bias: [Float]?, _ spans: SpanCase
  ) -> [Double] {
    let (size, width, keyWidth) = (
      spans.size, spans.heads * spans.size, spans.kvHeads * spans.size
    )
    var output = [Double](repeating: 0, count: q.count)
    for sequence in 0..<spans.queries.count - 1 {
      let keys = spans.keys[sequence]..<spans.keys[sequence + 1]
      for row in spans.queries[sequence]..<spans.queries[sequence + 1] {
        let place = row - spans.queries[sequence] + spans.offset
        for head in 0..<spans.heads {
          let from = head * spans.kvHeads / spans.heads * size
          let seen = keys.filter { !spans.isCausal || $0 - keys.lowerBound <= place }
          let powers = seen.map { key in
            let score = (0..<size).reduce(0.0) {
              $0 + q[row * width + head * size + $1] * k[key * keyWidth + from + $1]
            }
            let distance = min(max(key - keys.lowerBound - place, -spans.reach), spans.reach)
            let column = head * (2 * spans.reach + 1) + distance + spans.reach
            return exp(0.7 * score + Double(bias?[column] ?? 0))
          }
          let sum = powers.reduce(0, +)
          for (key, power) in zip(seen, powers) {
            for column in 0..<size {
              output[row * width + head * size + column] +=
                power / sum * v[key * keyWidth + from + column]
            }
          }
        }
      }
    }
    return output
  }

  @Test(arguments: CPUBackend.instructionSets, SpanCase.all)
  private func valuesAndGradients(_ instructionSet: String, _ spans: SpanCase) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let tape = Tape(backend: backend)
    var generator = SeededGenerator(seed: 71)
    let rows = spans.queries[spans.queries.count - 1]
    let keys = spans.keys[spans.keys.count - 1]
    let q = GradientInput([rows, spans.heads * spans.size], tape, &generator)
    let k = GradientInput([keys, spans.kvHeads * spans.size], tape, &generator)
    let v = GradientInput([keys, spans.kvHeads * spans.size], tape, &generator)
    let bias =
      spans.reach > 0 ? generator.normals(spans.heads * (2 * spans.reach + 1)) : nil
    let seed = generator.normals(q.point.count)
    let result = tape.attention(
      query: q.variable, key: k.variable, value: v.variable, layout: spans.layout,
      spans: AttentionSpans(queries: spans.queries, keys: spans.keys, offset: spans.offset),
      bias: bias.map {
        DistanceBias(
          Tensor($0, shape: [spans.heads, 2 * spans.reach + 1]), reach: spans.reach)
      })
    let expected = forward(q.doubles, k.doubles, v.doubles, bias, spans)
    for (found, value) in zip(result.value.floats(), expected) {
      #expect(abs(Double(found) - value) <= 1e-5)
    }
    tape.accumulate(Tensor(seed, shape: result.value.shape), into: result)
    tape.runBackward()
    q.expectGradient("query", on: tape) {
      dot(forward($0, k.doubles, v.doubles, bias, spans), seed)
    }
    k.expectGradient("key", on: tape) {
      dot(forward(q.doubles, $0, v.doubles, bias, spans), seed)
    }
    v.expectGradient("value", on: tape) {
      dot(forward(q.doubles, k.doubles, $0, bias, spans), seed)
    }
  }

  /// Threads share no sum, and rows of 16 bits differ by their rounding alone.
  @Test func neitherThreadsNorTypesChangeMore() throws {
    let layout = AttentionLayout(heads: 4, kvHeads: 4, headSize: 16, scale: 0.25)
    let spans = AttentionSpans(queries: [0, 9, 20], keys: [0, 4, 31])
    func run(_ threads: Int, _ dtype: DType) throws -> [[Float]] {
      let tape = Tape(backend: try CPUBackend(threads: threads))
      var generator = SeededGenerator(seed: 72)
      let inputs = [20, 31, 31].map { rows in
        let values = Tensor(generator.normals(rows * 64), shape: [rows, 64])
        let rounded = Tensor(uninitialized: [rows, 64], dtype)
        tape.backend.convert(values, into: rounded)
        return Variable(rounded, needsGradient: true)
      }
      let result = tape.attention(
        query: inputs[0], key: inputs[1], value: inputs[2], layout: layout, spans: spans, bias: nil)
      tape.accumulate(Tensor(generator.normals(20 * 64), shape: [20, 64]), into: result)
      tape.runBackward()
      return [result.value.floats()]
        + inputs.map { tape.takeGradient(of: $0)?.floats() ?? [] }
    }
    let plain = try run(1, .float32)
    #expect(try run(3, .float32) == plain)
    for (one, other) in zip(plain, try run(2, .bfloat16)) {
      #expect(zip(one, other).allSatisfy { abs($0 - $1) <= 0.1 })
    }
  }
}
