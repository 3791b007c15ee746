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
  package func inverseFrequencies(headDim: Int) -> [Float] {
    (0..<headDim / 2).map { index in
      let exponent = Double(Float(index * 2) / Float(headDim))
      let frequency = Float(1) / Float(pow(theta, exponent))
      return scaled(frequency, index)
    }
  }

  private func scaled(_ frequency: Float, _ index: Int) -> Float {
    switch scaling {
    case .none: return frequency
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
