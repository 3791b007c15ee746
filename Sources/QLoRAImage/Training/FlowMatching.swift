// How training by flow matching draws a sample's noise level, mixes in the noise, and weighs the
// error of the velocity that the model predicts.
// Source: Lipman et al. 2023, "Flow Matching for Generative Modeling", arXiv:2210.02747; Esser et
// al. 2024, arXiv:2403.03206, sections 2 and 3, for the distributions and weights.
import QLoRARandom
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

package struct FlowMatching: Sendable, Hashable {
  /// The distribution of u in 0 ..< 1, the place on the way from all noise to none.
  package enum Timesteps: Sendable, Hashable {
    case uniform
    /// σ(n) with n normal.
    case logitNormal(mean: Double, deviation: Double)
    /// Uniform, drawn to or away from its middle.
    case mode(scale: Double)
  }

  /// What the squared error of a sample is multiplied by.
  package enum Weighting: String, Sendable, CaseIterable {
    case none
    /// 1 / s².
    case inverseSquare = "inverse-square"
    /// s²: the error of the clean latents that follow from the velocity.
    case square
    /// 2 / (π·(1 − 2s + 2s²)).
    case cosmap
  }

  package var timesteps: Timesteps
  /// s becomes shift·s / (1 + (shift − 1)·s): larger ones give more noise.
  package var shift: Double
  package var weighting: Weighting
  /// What models that embed one are told.
  package var guidance: Double
  package var seed: UInt64

  package init(
    timesteps: Timesteps, shift: Double, weighting: Weighting, guidance: Double, seed: UInt64
  ) {
    self.timesteps = timesteps
    self.shift = shift
    self.weighting = weighting
    self.guidance = guidance
    self.seed = seed
  }

  /// Noise levels that there are: the schedules of diffusers have as many.
  private static let levels = 1000

  /// A noise level above 0, at most 1.
  func sigma(_ random: inout SplitMix64) -> Float {
    let level = min(Self.levels - 1, Int(place(&random) * Double(Self.levels)))
    let plain = Double(Self.levels - level) / Double(Self.levels)
    return Float(shift * plain / (1 + (shift - 1) * plain))
  }

  private func place(_ random: inout SplitMix64) -> Double {
    switch timesteps {
    case .uniform: return random.unit()
    case .logitNormal(let mean, let deviation):
      return 1 / (1 + exp(-(mean + deviation * Self.normals(2, &random)[0])))
    case .mode(let scale):
      let u = random.unit()
      let bent = cos(.pi * u / 2)
      return min(max(0, 1 - u - scale * (bent * bent - 1 + u)), 1)
    }
  }

  func weight(_ sigma: Float) -> Float {
    let s = Double(sigma)
    return switch weighting {
    case .none: 1
    case .inverseSquare: Float(1 / (s * s))
    case .square: Float(s * s)
    case .cosmap: Float(2 / (.pi * (1 - 2 * s + 2 * s * s)))
    }
  }

  /// What a sample meets: a function of seed, stream and the sample's place in the micro-batch.
  func generator(stream: UInt64, index: Int) -> SplitMix64 {
    SplitMix64(seed: seed, name: "flow matching \(stream) \(index)")
  }

  /// Standard normal deviates.
  /// Source: Box and Muller 1958, "A note on the generation of random normal deviates".
  package static func normals(_ count: Int, _ random: inout SplitMix64) -> [Double] {
    var values: [Double] = []
    values.reserveCapacity(count + 1)
    while values.count < count {
      let radius = (-2 * log(1 - random.unit())).squareRoot()
      let angle = 2 * .pi * random.unit()
      values.append(radius * cos(angle))
      values.append(radius * sin(angle))
    }
    return Array(values.prefix(count))
  }
}
