// Trained heads of a whole vocabulary against sums in double precision.
import Foundation
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

@Suite struct WideHeadTests {
  private struct Case {
    let (count, width, outs): (Int, Int, Int)
    let input, weight, slopes: Tensor

    init(_ count: Int, _ width: Int, _ outs: Int) {
      (self.count, self.width, self.outs) = (count, width, outs)
      var generator = SeededGenerator(seed: 11)
      input = Tensor(generator.normals(count * width), shape: [count, width])
      weight = Tensor(generator.normals(outs * width), shape: [outs, width])
      slopes = Tensor(generator.normals(count * outs), shape: [count, outs])
    }

    /// Logits, the input's gradient and the weight's, which begins as ones.
    func run(threads: Int) throws -> [[Float]] {
      let backend = try CPUBackend(threads: threads)
      let logits = Tensor(zeros: [count, outs])
      let inputGradient = Tensor(zeros: [count, width])
      let weightGradient = Tensor(
        [Float](repeating: 1, count: outs * width), shape: [outs, width])
      backend.denseLinear(input, weight: weight, bias: nil, into: logits)
      backend.denseLinearBackward(
        slopes, input: input, weight: weight, inputGradient: inputGradient,
        weightGradient: weightGradient, biasGradient: nil)
      return [logits, inputGradient, weightGradient].map { $0.floats() }
    }
  }

  /// `Σ_i a[i·m + x]·b[…]` in double precision, `a [k, m]` or its transpose.
  private func product(
    _ m: Int, _ n: Int, _ k: Int, _ a: (Int, Int) -> Float, _ b: (Int, Int) -> Float
  ) -> [Float] {
    (0..<m).flatMap { row in
      (0..<n).map { column in
        Float((0..<k).reduce(0.0) { $0 + Double(a(row, $1)) * Double(b($1, column)) })
      }
    }
  }

  @Test(arguments: [(1, 24, 512), (7, 40, 515), (33, 64, 1300), (5, 8, 9001)])
  func productsAreThoseOfDoublePrecision(count: Int, width: Int, outs: Int) throws {
    let values = Case(count, width, outs)
    let (x, w, g) = (values.input.floats(), values.weight.floats(), values.slopes.floats())
    let found = try values.run(threads: 2)
    let expected = [
      product(count, outs, width, { x[$0 * width + $1] }, { w[$1 * width + $0] }),
      product(count, width, outs, { g[$0 * outs + $1] }, { w[$0 * width + $1] }),
      product(outs, width, count, { g[$1 * outs + $0] }, { x[$0 * width + $1] }).map { $0 + 1 },
    ]
    for (found, expected) in zip(found, expected) {
      let largest = expected.map(\.magnitude).max() ?? 0
      let worst = zip(found, expected).map { abs($0 - $1) }.max() ?? .infinity
      #expect(worst <= 1e-5 * largest, "\(worst) of \(largest)")
    }
    // Whoever computes them.
    for threads in [1, 3] { #expect(try values.run(threads: threads) == found) }
  }

  @Test func lossesAndSlopesAreThoseOfFewClasses() throws {
    let (count, classes) = (6, 1000)
    var generator = SeededGenerator(seed: 12)
    let logits = Tensor(generator.normals(count * classes, scale: 4), shape: [count, classes])
    let targets = (0..<count).map { Int32($0 * 150) }
    let backend = try CPUBackend(threads: 2)
    let gradient = Tensor(zeros: [count, classes])
    let sum = backend.crossEntropy(logits, targets: targets, gradient: gradient)
    #expect(abs(backend.crossEntropy(logits, targets: targets, gradient: nil) - sum) <= 1e-12)
    let (values, slopes) = (logits.floats().map(Double.init), gradient.floats())
    var expected = 0.0
    for row in 0..<count {
      let own = values[row * classes..<(row + 1) * classes]
      let total = own.reduce(0) { $0 + exp($1) }
      expected += log(total) - values[row * classes + Int(targets[row])]
      for (place, value) in own.enumerated() {
        let slope = exp(value) / total - (place == Int(targets[row]) ? 1 : 0)
        #expect(abs(Double(slopes[row * classes + place]) - slope) <= 1e-6)
      }
    }
    #expect(abs(sum - expected) <= 1e-5 * expected)
  }
}
