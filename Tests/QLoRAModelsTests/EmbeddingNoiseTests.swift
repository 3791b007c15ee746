// NEFTune's noise: its formula per packed row, the same for the same place of a run, and never in
// evaluation.
import QLoRAModels
import QLoRATensor
import Testing
import TinyModel

struct EmbeddingNoiseTests {
  private func noise(
    alpha: Double = 5, seed: UInt64 = 1, stream: UInt64 = 2, bounds: [Int], width: Int
  ) -> [Float] {
    let output = Tensor(zeros: [bounds.last ?? 0, width])
    EmbeddingNoise(alpha: alpha, seed: seed, stream: stream)
      .values(bounds: bounds, width: width, into: output)
    return output.floats()
  }

  /// Uniform in ±alpha ÷ √(L·d): its largest value and its variance, a third of the bound's square.
  @Test(arguments: [(5.0, 100), (15.0, 7)])
  func scaleOfEachRow(_ alpha: Double, _ length: Int) {
    let width = 64
    let bounds = [0, length, length + 1, 3 * length]
    let values = noise(alpha: alpha, bounds: bounds, width: width)
    for (start, end) in zip(bounds, bounds.dropFirst()) {
      let row = values[start * width..<end * width]
      let bound = alpha / (Double(end - start) * Double(width)).squareRoot()
      #expect(row.allSatisfy { abs(Double($0)) <= bound * 1.000001 })
      let variance = row.reduce(0.0) { $0 + Double($1) * Double($1) } / Double(row.count)
      let expected = bound * bound / 3
      // Six standard deviations of the mean of so many squares of uniform numbers.
      let tolerance = 6 * expected * (0.8 / Double(row.count)).squareRoot()
      #expect(abs(variance - expected) < tolerance)
    }
  }

  @Test func aFunctionOfSeedAndMicroBatch() {
    let first = noise(bounds: [0, 3, 9], width: 16)
    #expect(first == noise(bounds: [0, 3, 9], width: 16))
    #expect(first != noise(seed: 2, bounds: [0, 3, 9], width: 16))
    #expect(first != noise(stream: 3, bounds: [0, 3, 9], width: 16))
    #expect(Array(first[..<16]) != Array(first[16..<32]))
  }

  @Test func trainingOnlyAndIndependentOfThreads() throws {
    var losses: [Double] = []
    var evaluations: [Double] = []
    for (threads, alpha) in [(1, 0.0), (1, 5.0), (3, 5.0)] {
      let tiny = try TinyLlama(.nf4dq, threads: threads)
      tiny.model.neftuneAlpha = alpha
      losses.append(try tiny.model.accumulateGradients(tiny.batch, dropoutStream: 9))
      evaluations.append(try tiny.model.lossSum(tiny.batch))
    }
    #expect(losses[0] != losses[1] && losses[1] == losses[2])
    #expect(Set(evaluations).count == 1)
  }
}
