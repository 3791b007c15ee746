// Rotary frequencies of a model's configuration, with the scaling kinds that Llama models use.

#if canImport(FoundationEssentials)
  import FoundationEssentials
#endif
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import QLoRAFormats
import QLoRATensor

extension RotaryTable {
  /// Cosines and sines in fp32 steps as transformers takes them, so that both see the same angles.
  init(config: ModelConfig, positionCount: Int) {
    let frequencies = Self.inverseFrequencies(config)
    let shape: Shape = [positionCount, frequencies.count]
    let cosines = Tensor(uninitialized: shape, .float32)
    let sines = Tensor(uninitialized: shape, .float32)
    for position in 0..<positionCount {
      for (index, frequency) in frequencies.enumerated() {
        let angle = Float(position) * frequency
        cosines[flat: position * frequencies.count + index] = cosf(angle)
        sines[flat: position * frequencies.count + index] = sinf(angle)
      }
    }
    self.init(cosines: cosines, sines: sines)
  }

  /// `theta^(−2i/headSize)` for `i < headSize/2`, scaled as the configuration says.
  static func inverseFrequencies(_ config: ModelConfig) -> [Float] {
    let half = config.headSize / 2
    let plain = (0..<half).map { index in
      1 / powf(Float(config.ropeTheta), Float(2 * index) / Float(config.headSize))
    }
    switch config.ropeScaling {
    case .none: return plain
    case .linear(let factor): return plain.map { $0 / Float(factor) }
    case .llama3(let scaling): return plain.map { scaling.scaled($0) }
    case .divisors(let factors): return zip(plain, factors).map { $0 / $1 }
    }
  }
}

extension Llama3RopeScaling {
  /// Long wavelengths are stretched by `factor`, short ones kept, those between blended.
  /// Source: Llama 3.1 model card and reference code, "use_scaled_rope".
  func scaled(_ frequency: Float) -> Float {
    let wavelength = 2 * Float.pi / frequency
    let original = Float(originalMaximumPositions)
    if wavelength < original / Float(highFrequencyFactor) { return frequency }
    if wavelength > original / Float(lowFrequencyFactor) { return frequency / Float(factor) }
    let smooth =
      (original / wavelength - Float(lowFrequencyFactor))
      / Float(highFrequencyFactor - lowFrequencyFactor)
    return (1 - smooth) * frequency / Float(factor) + smooth * frequency
  }
}
