// The choice of the next token from its logits.
import QLoRARandom

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Greedy, temperature and nucleus sampling, reproducible from a seed.
package struct Sampler: Sendable {
  /// 0 = greedy.
  package var temperature: Double
  /// Keep the fewest most likely tokens whose probabilities add up to this.
  /// Source: Holtzman et al. 2020, arXiv:1904.09751, section 3.1.
  package var topP: Double
  private var random: SplitMix64

  package init(temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) {
    self.temperature = temperature
    self.topP = topP
    random = SplitMix64(seed: seed)
  }

  package mutating func next(_ logits: [Float]) -> Int32 {
    if temperature <= 0 { return Self.greedy(logits) }
    let top = Double(logits.max() ?? 0)
    var candidates = logits.enumerated().map { index, logit in
      (token: Int32(index), weight: exp((Double(logit) - top) / temperature))
    }
    candidates.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.token < $1.token }
    let total = candidates.reduce(0) { $0 + $1.weight }
    var kept = 0
    var mass = 0.0
    while kept < candidates.count, kept == 0 || mass < topP * total {
      mass += candidates[kept].weight
      kept += 1
    }
    var threshold = random.unit() * mass
    for candidate in candidates[..<kept] {
      threshold -= candidate.weight
      if threshold <= 0 { return candidate.token }
    }
    return candidates[kept - 1].token
  }

  /// The most likely token; the lowest id among equals, as the reference libraries choose.
  package static func greedy(_ logits: [Float]) -> Int32 {
    var best = 0
    var largest = logits.first ?? 0
    for (index, logit) in logits.enumerated() where logit > largest {
      (best, largest) = (index, logit)
    }
    return Int32(best)
  }
}
