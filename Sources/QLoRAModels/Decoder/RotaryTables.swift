// Cosines and sines of a model's rotary angles, in the fp32 steps of transformers.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import QLoRAFormats
import QLoRATensor

/// One table for all layers, or another one for layers with a window.
struct RotaryTables {
  let all: RotaryTable
  let windowed: RotaryTable
  /// Of the lengths that these are made for: `RopeParameters.variant`.
  let variant: Int

  var positionCount: Int { all.positionCount }

  /// - Parameter length: of the longest sequence, which some kinds of scaling depend on.
  init(config: ModelConfig, positionCount: Int, length: Int) {
    func table(_ rope: RopeParameters) -> RotaryTable {
      RotaryTable(
        rope, dim: config.rotaryDim, positionCount: positionCount, length: length)
    }
    all = table(config.rope)
    windowed = config.form.windowedRope.map(table) ?? all
    variant = config.rope.variant(length: length)
  }
}

extension RotaryTable {
  /// Angles are products in fp32, as the reference takes them, so that both see the same rotation.
  fileprivate init(_ rope: RopeParameters, dim: Int, positionCount: Int, length: Int) {
    let frequencies = rope.inverseFrequencies(headDim: dim, length: length)
    let magnitude = rope.magnitude
    let shape: Shape = [positionCount, frequencies.count]
    let cosines = Tensor(uninitialized: shape, .float32)
    let sines = Tensor(uninitialized: shape, .float32)
    for position in 0..<positionCount {
      for (index, frequency) in frequencies.enumerated() {
        let angle = Float(position) * frequency
        cosines[flat: position * frequencies.count + index] = cosf(angle) * magnitude
        sines[flat: position * frequencies.count + index] = sinf(angle) * magnitude
      }
    }
    self.init(cosines: cosines, sines: sines)
  }
}
