// The choice of the next token from its logits.
import QLoRARandom
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Draws the tokens of one answer, reproducibly from a seed.
package struct Sampler: Sendable {
  /// A token that may be drawn, and how likely relative to the others.
  package typealias Candidate = (token: Int32, weight: Double)

  private let options: SamplingOptions
  private let prompt: Set<Int32>
  private var drawn: [Int32: Int] = [:]
  private var random: SplitMix64

  /// - Parameter prompt: its tokens, which `repetitionPenalty` counts as seen.
  package init(_ options: SamplingOptions, prompt: [Int32] = []) {
    self.options = options
    self.prompt = options.repetitionPenalty == 1 ? [] : Set(prompt)
    random = SplitMix64(seed: options.seed)
  }

  package mutating func next(_ logits: [Float]) -> Int32 {
    let logits = penalized(logits)
    let token = options.temperature > 0 ? draw(candidates(of: logits)) : Self.greedy(logits)
    drawn[token, default: 0] += 1
    return token
  }

  /// What the next token is drawn from.
  package func candidates(_ logits: [Float]) -> [Candidate] { candidates(of: penalized(logits)) }

  private mutating func draw(_ candidates: [Candidate]) -> Int32 {
    var threshold = random.unit() * candidates.reduce(0) { $0 + $1.weight }
    for candidate in candidates {
      threshold -= candidate.weight
      if threshold < 0 { return candidate.token }
    }
    return candidates.last?.token ?? 0
  }

  private func penalized(_ logits: [Float]) -> [Float] {
    var logits = logits
    if options.repetitionPenalty != 1 {
      let penalty = Float(options.repetitionPenalty)
      for token in prompt.union(drawn.keys) where logits.indices.contains(Int(token)) {
        let logit = logits[Int(token)]
        logits[Int(token)] = logit < 0 ? logit * penalty : logit / penalty
      }
    }
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 {
      for (token, count) in drawn {
        logits[Int(token)] -=
          Float(options.frequencyPenalty * Double(count) + options.presencePenalty)
      }
    }
    return logits
  }

  private func candidates(of logits: [Float]) -> [Candidate] {
    let top = logits.max() ?? 0
    let least =
      options.topK > 0 && options.topK < logits.count
      ? Self.largest(options.topK, of: logits) : -.infinity
    // In double precision the division by a tiny temperature stays finite.
    var kept: [Candidate] = []
    for (token, logit) in logits.enumerated() where logit >= least {
      let weight = exp((Double(logit) - Double(top)) / options.temperature)
      if weight > 0 { kept.append((Int32(token), weight)) }
    }
    guard !kept.isEmpty else { return [(Self.greedy(logits), 1)] }
    if options.topP < 1 { kept = nucleus(kept) }
    // The likeliest weighs 1.
    if options.minP > 0 { kept = kept.filter { $0.weight >= options.minP } }
    return kept
  }

  /// The last of the `count` largest values; minus infinity where there are fewer above that.
  private static func largest(_ count: Int, of logits: [Float]) -> Float {
    var largest: [Float] = []
    var floor = -Float.infinity
    // Few values pass the floor once it has risen, so little is sorted.
    for logit in logits where logit > floor {
      largest.append(logit)
      if largest.count == 2 * count {
        largest.sort(by: >)
        largest.removeLast(count)
        floor = largest[count - 1]
      }
    }
    largest.sort(by: >)
    return largest.count < count ? -.infinity : largest[count - 1]
  }

  private func nucleus(_ all: [Candidate]) -> [Candidate] {
    let total = all.reduce(0) { $0 + $1.weight }
    // All that weigh no more than this are together too light to be needed, so few are sorted.
    let floor = (1 - options.topP) * total / Double(all.count)
    var kept = all.filter { $0.weight > floor || $0.weight == 1 }
    kept.sort { $0.weight != $1.weight ? $0.weight > $1.weight : $0.token < $1.token }
    var count = 0
    var mass = 0.0
    while count < kept.count, count == 0 || mass < options.topP * total {
      mass += kept[count].weight
      count += 1
    }
    return Array(kept[..<count])
  }

  /// The most likely token; the lowest id among equals, as the reference libraries choose.
  package static func greedy(_ logits: [Float]) -> Int32 { Int32(logits.placeOfLargest) }

  /// Whether every token is the likeliest of its logits as they come.
  package var takesTheLikeliest: Bool {
    options.temperature == 0 && options.repetitionPenalty == 1 && options.frequencyPenalty == 0
      && options.presencePenalty == 0
  }
}
