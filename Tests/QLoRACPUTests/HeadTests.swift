// Cross entropy and scores over a vocabulary against an fp64 oracle.
import Foundation
import ProductCases
import QLoRATensor
import TestSupport
import Testing

import QLoRACPU

struct HeadTests {
  private struct Expected {
    var losses: [Double] = []
    var winners: [Int32] = []
    var gradient: [Double] = []
  }

  private func expected(
    _ hidden: Tensor, _ rows: [Int32], _ targets: [Int32], _ values: [Float], _ vocabulary: Int,
    cap: Double = 0
  ) -> Expected {
    let width = hidden.shape[1]
    let head = Oracle(vocabulary, width, values.map(Double.init))
    let logits = Oracle(hidden).timesTransposed(head)
    var result = Expected()
    result.gradient = [Double](repeating: 0, count: hidden.count)
    for (row, target) in zip(rows, targets) {
      let row = Int(row)
      let line = logits.values[row * vocabulary..<(row + 1) * vocabulary]
        .map { cap > 0 ? cap * tanh($0 / cap) : $0 }
      let best = line.max() ?? 0
      let sum = line.reduce(0) { $0 + exp($1 - best) }
      result.losses.append(best + log(sum) - line[Int(target)])
      result.winners.append(Int32(line.firstIndex(of: best) ?? -1))
      for (index, logit) in line.enumerated() {
        let slope = cap > 0 ? 1 - logit * logit / (cap * cap) : 1
        let delta = (exp(logit - best) / sum - (index == Int(target) ? 1 : 0)) * slope
        for column in 0..<width {
          result.gradient[row * width + column] += delta * head.values[index * width + column]
        }
      }
    }
    return result
  }

  @Test(arguments: CPUBackend.instructionSets, [(5, 3), (203, 60), (1000, 110)])
  func lossScoresAndGradientMatchTheOracle(
    instructionSet: String, size: (vocabulary: Int, tokens: Int)
  ) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let (vocabulary, tokens) = size
    let storages: [WeightStorage] = [
      .dense(.float32), .dense(.bfloat16), .dense(.float16), .fourBit(QuantizationSpec()),
    ]
    for storage in storages {
      for dtype in [DType.float32, .bfloat16, .float16] {
        let (head, exact) = try backend.seededWeight(vocabulary, 64, storage)
        let rounds = backend.roundsProducts(of: dtype)
        let values =
          rounds ? exact.map { Float(bitPattern: UInt32($0.bfloat16Bits) << 16) } : exact
        let hidden = backend.seededTensor([tokens, 64], dtype, seed: 2)
        let rows = (0..<tokens).filter { $0 % 4 != 1 }.map(Int32.init)
        let targets = rows.map { ($0 * 7) % Int32(vocabulary) }
        let expected = expected(hidden, rows, targets, values, vocabulary)

        let gradient = backend.seededTensor([tokens, 64], seed: 1)
        let loss = backend.linearCrossEntropy(
          hidden, rows: rows, targets: targets, head: head, hiddenGradient: gradient)
        let sum = expected.losses.reduce(0, +)
        #expect(abs(loss - sum) < 2e-6 * abs(sum))
        // Probabilities rounded to 8 bits, and a target's row of the head that is not.
        #expect(Oracle(tokens, 64, expected.gradient).distance(gradient) < (rounds ? 4e-3 : 1e-5))

        let scores = backend.scoreTokens(hidden, rows: rows, targets: targets, head: head)
        let worst = zip(scores.negativeLogLikelihoods, expected.losses)
          .map { abs(Double($0) - $1) }.max()
        #expect(try #require(worst) < 2e-5)
        #expect(scores.mostLikely == expected.winners)
      }
    }
  }

  @Test(arguments: CPUBackend.instructionSets, [DType.float32, .bfloat16])
  func cappedLogits(_ instructionSet: String, _ dtype: DType) throws {
    let backend = try CPUBackend(threads: 2, instructionSet: instructionSet)
    let (vocabulary, tokens, cap) = (203, 60, Float(1.5))
    for storage in [WeightStorage.dense(.float32), .fourBit(QuantizationSpec())] {
      let (head, values) = try backend.seededWeight(vocabulary, 64, storage)
      let hidden = backend.seededTensor([tokens, 64], dtype, seed: 2)
      let rows = (0..<tokens).filter { $0 % 3 != 1 }.map(Int32.init)
      let targets = rows.map { ($0 * 7) % Int32(vocabulary) }
      let expected = expected(hidden, rows, targets, values, vocabulary, cap: Double(cap))
      let gradient = Tensor(zeros: [tokens, 64])
      let loss = backend.linearCrossEntropy(
        hidden, rows: rows, targets: targets, head: head, softCap: cap, hiddenGradient: gradient)
      let sum = expected.losses.reduce(0, +)
      #expect(abs(loss - sum) < 2e-6 * abs(sum))
      #expect(Oracle(tokens, 64, expected.gradient).distance(gradient) < 1e-5)
      let scores = backend.scoreTokens(
        hidden, rows: rows, targets: targets, head: head, softCap: cap)
      #expect(scores.mostLikely == expected.winners)
    }
  }

  @Test func manyChunksAndThreadsGiveTheSameBits() throws {
    var results: [[UInt8]] = []
    for threads in [1, 2, 4] {
      let backend = try CPUBackend(threads: threads)
      let (head, _) = try backend.seededWeight(500, 32, .dense(.bfloat16))
      let hidden = backend.seededTensor([400, 32], seed: 2)
      let gradient = Tensor(zeros: [400, 32])
      let rows = (0..<400).map(Int32.init)
      let loss = backend.linearCrossEntropy(
        hidden, rows: rows, targets: rows, head: head, hiddenGradient: gradient)
      results.append(gradient.bytes + Tensor([Float(loss)], shape: [1]).bytes)
    }
    #expect(results[0] == results[1] && results[1] == results[2])
  }

  @Test func noRowsMeansNoLossAndNoGradient() throws {
    let backend = try CPUBackend(threads: 2)
    let (head, _) = try backend.seededWeight(50, 32, .dense(.float32))
    let gradient = backend.seededTensor([4, 32], seed: 1)
    let loss = backend.linearCrossEntropy(
      backend.seededTensor([4, 32], seed: 2), rows: [], targets: [], head: head,
      hiddenGradient: gradient)
    #expect(loss == 0)
    #expect(gradient.floats().allSatisfy { $0 == 0 })
  }
}
