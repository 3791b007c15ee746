// Known answers, so that the sequences behind runs and datasets can't change unnoticed.
import QLoRARandom
import Testing

@Suite struct SplitMix64Tests {
  /// The first five are a published test vector of the generator; the others were computed with
  /// arbitrary-precision integers from the formulas in the doc comments.
  @Test(arguments: [
    (
      SplitMix64(seed: 1_234_567),
      [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ]
    ),
    (
      SplitMix64(seed: 7, stream: 3),
      [16_768_201_124_579_718_951, 1_354_527_783_479_835_721, 6_695_747_660_972_070_251]
    ),
    (SplitMix64(seed: 7, stream: .max), [15_529_207_581_065_479_083]),
    (
      SplitMix64(seed: 7, name: "model.layers.0.self_attn.q_proj"),
      [3_921_303_254_281_829_138, 14_130_613_633_675_891_691, 10_613_530_834_160_629_395]
    ),
  ] as [(SplitMix64, [UInt64])])
  func sequencesAreWhatTheyWere(_ generator: SplitMix64, expected: [UInt64]) {
    var generator = generator
    let found = expected.map { _ in generator.next() }
    #expect(found == expected)
  }

  @Test(arguments: [0, 1, 8, 19])
  func bytesAreThoseOfTheNumbers(count: Int) {
    var (filled, drawn) = (SplitMix64(seed: 5), SplitMix64(seed: 5))
    var bytes = [UInt8](repeating: 0, count: count)
    bytes.withUnsafeMutableBytes { filled.fill($0) }
    let numbers = (0..<(count + 7) / 8).map { _ in drawn.next() }
    let expected = numbers.flatMap { number in
      (0..<8).map { UInt8(truncatingIfNeeded: number >> UInt64($0 * 8)) }
    }
    #expect(bytes == Array(expected.prefix(count)))
    #expect(filled.next() == drawn.next())
  }

  @Test func unitIsTheHighBitsAsAFraction() {
    var generator = SplitMix64(seed: 5)
    #expect(
      [generator.unit(), generator.unit(), generator.unit()]
        == [0.386768045983934, 0.7523070158382239, 0.2327091656774618])
  }

  @Test func belowIsTheHighHalfOfTheProduct() {
    var generator = SplitMix64(seed: 5)
    #expect((0..<12).map { _ in generator.below(10) } == [3, 7, 2, 0, 1, 3, 9, 5, 4, 6, 4, 1])
  }

  @Test func belowOneIsZero() {
    var generator = SplitMix64(seed: 1)
    #expect(generator.below(1) == 0)
  }

  @Test func permutationsAreWhatTheyWere() {
    var epoch = SplitMix64(seed: 42, stream: 0)
    #expect(epoch.permutation(12) == [10, 0, 6, 3, 7, 1, 4, 11, 9, 5, 8, 2])
    var seeded = SplitMix64(seed: 5)
    #expect(seeded.permutation(8) == [7, 2, 6, 4, 0, 1, 5, 3])
  }

  @Test(arguments: [0, 1])
  func shortPermutationsDrawNothing(_ count: Int) {
    var generator = SplitMix64(seed: 9)
    #expect(generator.permutation(count) == Array(0..<count))
    var untouched = SplitMix64(seed: 9)
    #expect(generator.next() == untouched.next())
  }

  @Test func shufflingFollowsThePermutation() {
    var elements = ["a", "b", "c", "d", "e", "f", "g", "h"]
    let before = elements
    var shuffling = SplitMix64(seed: 5)
    shuffling.shuffle(&elements)
    var permuting = SplitMix64(seed: 5)
    #expect(elements == permuting.permutation(8).map { before[$0] })
  }

  /// χ² of 6 orders in 6000 draws: 20.5 is passed by chance once in a thousand, the seed is fixed.
  @Test func allOrdersAreEquallyLikely() {
    var generator = SplitMix64(seed: 3)
    var counts: [[Int]: Int] = [:]
    for _ in 0..<6000 { counts[generator.permutation(3), default: 0] += 1 }
    let deviation = counts.values.reduce(0.0) { $0 + Double(($1 - 1000) * ($1 - 1000)) / 1000 }
    #expect(counts.count == 6)
    #expect(deviation < 20.5)
  }

  @Test func namesAndStreamsAreTheirOwn() {
    var named = SplitMix64(seed: 1, name: "a")
    var other = SplitMix64(seed: 1, name: "b")
    var first = SplitMix64(seed: 1, stream: 0)
    var second = SplitMix64(seed: 1, stream: 1)
    let firsts = [named.next(), other.next(), first.next(), second.next()]
    #expect(Set(firsts).count == 4)
  }
}
