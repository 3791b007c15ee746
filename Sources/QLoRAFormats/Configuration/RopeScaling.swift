// Rotary position frequencies and the ways in which models stretch them to longer contexts.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How rotary frequencies differ from `theta^(−2i/headDim)`.
package enum RopeScaling: Sendable, Hashable {
  case none
  /// Every frequency divided by the factor.
  case linear(factor: Double)
  /// Low frequencies divided by the factor, high ones kept, those between interpolated.
  case llama3(
    factor: Double, lowFrequencyFactor: Double, highFrequencyFactor: Double,
    originalMaxPositions: Int)
  /// One divisor per frequency, `[headDim / 2]`, as GGUF stores the llama3 kind.
  case divisors([Float])
  /// The base grows with a sequence that is longer than `maxPositions`.
  case dynamic(factor: Double, maxPositions: Int)
  case yarn(YarnScaling)
  /// One divisor per frequency, others for sequences beyond `originalMaxPositions`; cosines and
  /// sines are multiplied by `magnitude`.
  /// Source: Ding et al. 2024, "LongRoPE", arXiv:2402.13753.
  case long(short: [Float], long: [Float], magnitude: Double, originalMaxPositions: Int)

  /// What LongRoPE multiplies cosines and sines by, for a context so many times the original.
  static func longMagnitude(_ stretch: Double, originalMaxPositions: Int) -> Double {
    guard stretch > 1, originalMaxPositions > 1 else { return 1 }
    return (1 + log(stretch) / log(Double(originalMaxPositions))).squareRoot()
  }

  /// Whether lists of factors have one for each of so many pairs.
  func fits(pairs: Int) -> Bool {
    switch self {
    case .divisors(let divisors): divisors.count == pairs
    case .long(let short, let long, _, _): short.count == pairs && long.count == pairs
    default: true
    }
  }
}

/// Frequencies that turn less than `slow` times in the original context are divided by the factor,
/// those that turn more than `fast` times are kept, those between are mixed.
/// Source: Peng et al. 2023, "YaRN", arXiv:2309.00071, section 3.2.
package struct YarnScaling: Sendable, Hashable {
  package var factor: Double
  package var fast: Double
  package var slow: Double
  package var originalMaxPositions: Int
  /// Multiplies cosines and sines.
  package var magnitude: Double
  /// Whether the borders between kept and divided frequencies are whole numbers.
  package var isTruncated: Bool

  package init(
    factor: Double, fast: Double = 32, slow: Double = 1, originalMaxPositions: Int,
    magnitude: Double? = nil, isTruncated: Bool = true
  ) {
    self.factor = factor
    self.fast = fast
    self.slow = slow
    self.originalMaxPositions = originalMaxPositions
    self.magnitude = magnitude ?? Self.magnitude(factor)
    self.isTruncated = isTruncated
  }

  /// What the paper recommends, section 3.4.
  package static func magnitude(_ factor: Double, weight: Double = 1) -> Double {
    factor <= 1 ? 1 : 0.1 * weight * log(factor) + 1
  }

  /// How much of pair `index` is kept undivided, 0…1.
  func kept(_ index: Int, pairs: Int, theta: Double) -> Float {
    func pair(turning count: Double) -> Double {
      let turns = Double(originalMaxPositions) / (count * 2 * Double.pi)
      return Double(2 * pairs) * log(turns) / (2 * log(theta))
    }
    var (low, high) = (pair(turning: fast), pair(turning: slow))
    if isTruncated { (low, high) = (low.rounded(.down), high.rounded(.up)) }
    (low, high) = (max(low, 0), min(high, Double(2 * pairs - 1)))
    if low == high { high += 0.001 }
    let ramp = (Float(index) - Float(low)) / Float(high - low)
    return 1 - min(max(ramp, 0), 1)
  }
}

/// The rotary frequencies of a model.
package struct RopeParameters: Sendable, Hashable {
  package var theta: Double
  package var scaling: RopeScaling

  package init(theta: Double, scaling: RopeScaling = .none) {
    self.theta = theta
    self.scaling = scaling
  }

  /// `[headDim / 2]`: the angle that pair `i` turns per position, `theta^(−2i/headDim)`, scaled.
  ///
  /// Source: Su et al. 2021, "RoFormer", arXiv:2104.09864, section 3.2; the llama3 scaling as
  /// published with Llama 3.1.
  ///
  /// - Parameter length: of the longest sequence, which some kinds depend on.
  package func inverseFrequencies(headDim: Int, length: Int = 0) -> [Float] {
    (0..<headDim / 2).map { index in
      let exponent = Double(Float(index * 2) / Float(headDim))
      let frequency = Float(1) / Float(pow(base(headDim, length), exponent))
      return scaled(frequency, index, headDim / 2, length)
    }
  }

  /// What cosines and sines are multiplied by.
  package var magnitude: Float {
    switch scaling {
    case .yarn(let yarn): Float(yarn.magnitude)
    case .long(_, _, let magnitude, _): Float(magnitude)
    default: 1
    }
  }

  /// Lengths with the same number have the same frequencies.
  package func variant(length: Int) -> Int {
    switch scaling {
    case .dynamic(_, let maxPositions): length > maxPositions ? length : 0
    case .long(_, _, _, let original): length > original ? 1 : 0
    default: 0
    }
  }

  private func base(_ headDim: Int, _ length: Int) -> Double {
    guard case .dynamic(let factor, let maxPositions) = scaling, length > maxPositions, headDim > 2
    else { return theta }
    let stretch = factor * Double(length) / Double(maxPositions) - (factor - 1)
    return theta * pow(stretch, Double(headDim) / Double(headDim - 2))
  }

  private func scaled(_ frequency: Float, _ index: Int, _ pairs: Int, _ length: Int) -> Float {
    switch scaling {
    case .none, .dynamic: return frequency
    case .yarn(let yarn):
      let kept = yarn.kept(index, pairs: pairs, theta: theta)
      return frequency / Float(yarn.factor) * (1 - kept) + frequency * kept
    case .long(let short, let long, _, let original):
      let divisors = length > original ? long : short
      return index < divisors.count ? frequency / divisors[index] : frequency
    case .linear(let factor): return frequency / Float(factor)
    case .divisors(let divisors):
      return index < divisors.count ? frequency / divisors[index] : frequency
    case .llama3(let factor, let low, let high, let original):
      let wavelength = 2 * Float.pi / frequency
      if wavelength < Float(Double(original) / high) { return frequency }
      if wavelength > Float(Double(original) / low) { return frequency / Float(factor) }
      let smooth = (Float(original) / wavelength - Float(low)) / Float(high - low)
      return (1 - smooth) * frequency / Float(factor) + smooth * frequency
    }
  }
}
