// What tokens are drawn from, against the processors of transformers and closed forms.
import Foundation
import QLoRAJSON
import QLoRAModels
import TestSupport
import Testing

@Suite struct SamplerTests {
  private struct Golden {
    let logits: [Float]
    let seen: [Int32]
    let cases: [JSONValue]

    init() throws {
      let json = try JSONValue(parsing: Data(contentsOf: Goldens.url("sampling.json")))
      logits = json["logits"]?.arrayValue?.compactMap { $0.doubleValue.map { Float($0) } } ?? []
      seen = json["seen"]?.arrayValue?.compactMap { $0.intValue.map { Int32($0) } } ?? []
      cases = json["cases"]?.arrayValue ?? []
    }
  }

  private static func options(_ json: JSONValue) -> SamplingOptions {
    var options = SamplingOptions()
    options.repetitionPenalty = json["repetitionPenalty"]?.doubleValue ?? 1
    options.temperature = json["temperature"]?.doubleValue ?? 0
    options.topK = json["topK"]?.intValue ?? 0
    options.topP = json["topP"]?.doubleValue ?? 1
    options.minP = json["minP"]?.doubleValue ?? 0
    return options
  }

  @Test func probabilitiesAreThoseOfTransformers() throws {
    let golden = try Golden()
    #expect(golden.cases.count > 100)
    for json in golden.cases {
      let sampler = Sampler(Self.options(json), prompt: golden.seen)
      let candidates = sampler.candidates(golden.logits)
      let total = candidates.reduce(0) { $0 + $1.weight }
      var found = [Double](repeating: 0, count: golden.logits.count)
      for candidate in candidates { found[Int(candidate.token)] = candidate.weight / total }
      let expected = json["probabilities"]?.arrayValue?.compactMap(\.doubleValue) ?? []
      let name = JSONWriter.text(.object(Array((json.objectMembers ?? []).dropLast())))
      #expect(found.map { $0 > 0 } == expected.map { $0 > 0 }, "\(name)")
      // The penalty is float32's.
      let error = zip(found, expected).map { abs($0 - $1) }.max() ?? 1
      #expect(error < 1e-6, "\(name)")
    }
  }

  @Test func drawsFollowTheProbabilities() {
    var options = SamplingOptions()
    options.temperature = 1
    options.seed = 9
    var sampler = Sampler(options)
    let probabilities = [0.5, 0.3, 0.2, 0.0]
    let logits = probabilities.map { Float(log($0)) }
    var counts = [0, 0, 0, 0]
    let draws = 20_000
    for _ in 0..<draws { counts[Int(sampler.next(logits))] += 1 }
    // Five standard deviations of a binomial.
    for (count, p) in zip(counts, probabilities) {
      let deviation = (Double(draws) * p * (1 - p)).squareRoot()
      #expect(abs(Double(count) - Double(draws) * p) <= 5 * deviation)
    }
    var first = Sampler(options)
    var second = Sampler(options)
    #expect((0..<50).map { _ in first.next(logits) } == (0..<50).map { _ in second.next(logits) })
  }

  @Test func greedyTakesTheFirstOfEquals() {
    var sampler = Sampler(SamplingOptions())
    #expect(sampler.next([1, 3, 3, 2]) == 1)
    #expect(sampler.next([-.infinity, -.infinity]) == 0)
  }

  /// Each answer's tokens count: once for presence, every time for frequency.
  @Test func penaltiesCountWhatWasDrawn() {
    var options = SamplingOptions()
    options.presencePenalty = 0.5
    options.frequencyPenalty = 1
    var sampler = Sampler(options, prompt: [0, 1, 2])
    // 4.0, then 2.5, then 1.5 are left of the first token.
    #expect((0..<4).map { _ in sampler.next([4, 2, 0]) } == [0, 0, 1, 0])
    options = SamplingOptions()
    options.repetitionPenalty = 2
    sampler = Sampler(options, prompt: [0])
    #expect(sampler.next([3, 2, -1]) == 1)
    #expect(sampler.next([-1, -4, -1.5]) == 2)
  }

  @Test func extremesDoNotTrap() {
    var options = SamplingOptions()
    options.temperature = 1e-300
    options.topP = 0
    options.topK = .max
    options.minP = 1
    options.frequencyPenalty = 2
    for logits: [Float] in [
      [0], [1e30, -1e30, 1e30], [.infinity, 0], [-.infinity, -.infinity], [.nan, .nan],
    ] {
      var sampler = Sampler(options, prompt: [99, -1])
      for _ in 0..<3 { #expect(logits.indices.contains(Int(sampler.next(logits)))) }
    }
  }

  @Test func scoresAreLogarithmsOfProbabilities() {
    let logits: [Float] = [0, 2, 1, 2]
    let total = log(1 + 2 * exp(2.0) + exp(1.0))
    let scores = TokenScores(logits, chosen: 2, count: 3)
    #expect(abs(scores.chosen.logProbability - (1 - total)) < 1e-12)
    #expect(scores.best.map(\.token) == [1, 3, 2])
    #expect(abs(scores.best[0].logProbability - (2 - total)) < 1e-12)
    #expect(TokenScores(logits, chosen: 0, count: 0).best.isEmpty)
    #expect(TokenScores(logits, chosen: 0, count: 9).best.count == 4)
  }
}
