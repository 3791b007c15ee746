// What a sample's vectors say of it: how noisy it is, how strongly it is guided, and its prompt as
// a whole.
// Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.5, for the waves of a number.
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Two linears with SiLU between them.
struct ConditionLayers: Sendable {
  var first: LinearPlace
  var second: LinearPlace

  func forward(_ input: Variable, _ pass: ImagePass) -> Variable {
    pass.vectors(pass.tape.apply(.silu, to: pass.vectors(input, first)), second)
  }
}

struct Condition: Sendable {
  /// Waves of a number: cosines, then as many sines.
  static let waves = 256

  var time: ConditionLayers
  /// nil where the model was not distilled from guided predictions.
  var guidance: ConditionLayers?
  var prompt: ConditionLayers

  /// `[samples, hidden]` float32, after the SiLU that every use of it begins with.
  /// - Parameter times: of each sample, 0 ... 1000; `guidances` as they are.
  func forward(
    times: [Float], guidances: [Float], pooled: Tensor, _ pass: ImagePass
  ) -> Variable {
    var sum = time.forward(waves(times), pass)
    if let guidance {
      // Guidance counts in thousands, as times do.
      sum = pass.tape.add(sum, guidance.forward(waves(guidances.map { 1000 * $0 }), pass))
    }
    sum = pass.tape.add(sum, prompt.forward(Variable(pooled), pass))
    return pass.tape.apply(.silu, to: sum)
  }

  private func waves(_ numbers: [Float]) -> Variable {
    let half = Self.waves / 2
    let tensor = Tensor(uninitialized: [numbers.count, Self.waves], .float32)
    for (row, number) in numbers.enumerated() {
      for i in 0..<half {
        // In fp32, as the reference computes it.
        let frequency = expf(-Float(log(10_000.0)) * Float(i) / Float(half))
        tensor[flat: row * Self.waves + i] = cosf(number * frequency)
        tensor[flat: row * Self.waves + half + i] = sinf(number * frequency)
      }
    }
    return Variable(tensor)
  }
}
