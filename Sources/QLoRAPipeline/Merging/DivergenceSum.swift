// The Kullback-Leibler divergence of one model's predictions from another's.

import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Sums over positions.
struct DivergenceSum {
  private var positions = 0
  private var sum = 0.0
  private var largest = 0.0
  private var same = 0

  var divergence: Divergence {
    let count = Double(max(1, positions))
    return Divergence(mean: sum / count, max: largest, sameToken: Double(same) / count)
  }

  /// - Parameters:
  ///   - expected: logits `[positions, vocabulary]` float32 of the model that is compared with.
  ///   - found: the other's.
  mutating func add(_ expected: Tensor, _ found: Tensor) {
    let width = expected.shape[1]
    expected.withElements(Float.self) { expected in
      found.withElements(Float.self) { found in
        for start in stride(from: 0, to: expected.count, by: width) {
          let row = start..<start + width
          add(
            UnsafeBufferPointer(rebasing: expected[row]), UnsafeBufferPointer(rebasing: found[row]))
        }
      }
    }
  }

  /// `Σ p·(log p − log q)` with `p`, `q` the softmaxes of two rows of logits.
  private mutating func add(
    _ expected: UnsafeBufferPointer<Float>, _ found: UnsafeBufferPointer<Float>
  ) {
    let (p, q) = (Self.logSum(expected), Self.logSum(found))
    var divergence = 0.0
    for index in expected.indices {
      let logP = Double(expected[index]) - p.logSum
      divergence += exp(logP) * (logP - (Double(found[index]) - q.logSum))
    }
    positions += 1
    sum += max(0, divergence)
    largest = max(largest, divergence)
    same += p.likeliest == q.likeliest ? 1 : 0
  }

  private static func logSum(
    _ logits: UnsafeBufferPointer<Float>
  ) -> (logSum: Double, likeliest: Int) {
    var likeliest = 0
    for index in logits.indices where logits[index] > logits[likeliest] { likeliest = index }
    let top = Double(logits[likeliest])
    var sum = 0.0
    for value in logits { sum += exp(Double(value) - top) }
    return (top + log(sum), likeliest)
  }
}
