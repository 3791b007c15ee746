// A normalization in either of its forms, frozen unless it is trained as a whole.

import QLoRAFormats
import QLoRATensor

struct Norm: Sendable {
  /// The name of the module in files.
  let module: String
  /// `[width]` float32: what a row is multiplied by.
  let weight: Tensor
  /// `[width]` float32 of a layer norm, zeros where files have none; nil of an RMS norm.
  let bias: Tensor?
  let epsilon: Float
  /// As files have them, where that is less by `offset` or before it was multiplied by `factor`.
  private let stored: (weight: Tensor, bias: Tensor?)
  private let form: NormForm
  private let factor: Float
  /// nil of a frozen one.
  var trained: TrainedNorm?

  /// - Parameter bias: where the form has one.
  init(_ module: String, weight: Tensor, bias: Tensor?, _ form: NormForm, epsilon: Float) {
    self.init(module, (weight, bias), form, factor: 1, epsilon: epsilon)
  }

  private init(
    _ module: String, _ stored: (weight: Tensor, bias: Tensor?), _ form: NormForm, factor: Float,
    epsilon: Float
  ) {
    func changed(_ tensor: Tensor, by offset: Float) -> Tensor {
      if offset == 0, factor == 1 { return tensor }
      return Tensor(tensor.floats().map { ($0 + offset) * factor }, shape: tensor.shape)
    }
    self.module = module
    self.stored = stored
    self.form = form
    self.factor = factor
    self.epsilon = epsilon
    weight = changed(stored.weight, by: Self.offset(form))
    bias =
      form == .centered
      ? Tensor(zeros: stored.weight.shape) : stored.bias.map { changed($0, by: 0) }
  }

  /// What is added to the weights of files.
  private static func offset(_ form: NormForm) -> Float { form == .rmsAroundOne ? 1 : 0 }

  var byteCount: Int { weight.byteCount + (bias?.byteCount ?? 0) }

  /// The same, whose outputs are `factor` times as large.
  func scaled(by factor: Float) -> Norm {
    if factor == 1 { return self }
    return Norm(
      module, stored, form, factor: self.factor * factor, epsilon: epsilon)
  }

  /// Names of its tensors and their values in files.
  var tensors: [(name: String, value: Tensor)] {
    [(module + ".weight", stored.weight)]
      + (stored.bias.map { [(module + ".bias", $0)] } ?? [])
  }

  /// Makes it one that is trained.
  mutating func train(_ parameter: (_ name: String, _ value: Tensor) -> Parameter) {
    let parameters = tensors.map(parameter)
    trained = TrainedNorm(
      weight: parameters[0], bias: parameters.count > 1 ? parameters[1] : nil,
      isCentered: form == .centered, offset: Self.offset(form), factor: factor)
  }
}

extension Norm? {
  /// Passes the norm on where there is one.
  mutating func visit(_ body: (inout Norm) throws -> Void) rethrows {
    guard var norm = self else { return }
    try body(&norm)
    self = norm
  }
}

extension Tape {
  func normalize(_ input: Variable, _ norm: Norm) -> Variable {
    if let trained = norm.trained {
      return trainedNorm(input, trained, epsilon: norm.epsilon)
    }
    guard let bias = norm.bias else {
      return rmsNorm(input, weight: norm.weight, epsilon: norm.epsilon)
    }
    return layerNorm(input, weight: norm.weight, bias: bias, epsilon: norm.epsilon)
  }
}
