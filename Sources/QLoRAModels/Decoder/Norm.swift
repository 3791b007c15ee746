// A frozen normalization, in either of its forms.

import QLoRATensor

struct Norm: Sendable {
  /// `[width]` float32.
  var weight: Tensor
  /// `[width]` float32 of a layer norm; nil of an RMS norm.
  var bias: Tensor?
  var epsilon: Float

  var byteCount: Int { weight.byteCount + (bias?.byteCount ?? 0) }

  /// The same, whose outputs are `factor` times as large.
  func scaled(by factor: Float) -> Norm {
    func scaled(_ tensor: Tensor) -> Tensor {
      Tensor(tensor.floats().map { $0 * factor }, shape: tensor.shape)
    }
    if factor == 1 { return self }
    return Norm(weight: scaled(weight), bias: bias.map(scaled), epsilon: epsilon)
  }
}

extension Tape {
  func normalize(_ input: Variable, _ norm: Norm) -> Variable {
    guard let bias = norm.bias else {
      return rmsNorm(input, weight: norm.weight, epsilon: norm.epsilon)
    }
    return layerNorm(input, weight: norm.weight, bias: bias, epsilon: norm.epsilon)
  }
}
