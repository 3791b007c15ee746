// Cosines and sines of a model's rotary angles, in the fp32 steps of transformers.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import QLoRAFormats
import QLoRATensor

extension RotaryTable {
  /// Angles are products in fp32, as the reference takes them, so that both see the same rotation.
  init(config: ModelConfig, positionCount: Int) {
    let frequencies = config.rope.inverseFrequencies(headDim: config.headDim)
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
}
