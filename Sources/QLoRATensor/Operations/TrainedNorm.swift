// Norms whose weights are trained: the forward pass of the frozen ones, and gradients of the
// weights.

/// The weights of a norm, as files have them: what multiplies a row is
/// `factor · (weight + offset)`, and what is added to it `factor · bias`.
package struct TrainedNorm: Sendable {
  /// `[width]`.
  package let weight: Parameter
  /// `[width]` of a layer norm that has one.
  package let bias: Parameter?
  /// Whether it is a layer norm without a bias; any other without one is an RMS norm.
  package let isCentered: Bool
  package let offset: Float
  package let factor: Float

  package init(
    weight: Parameter, bias: Parameter?, isCentered: Bool, offset: Float, factor: Float
  ) {
    self.weight = weight
    self.bias = bias
    self.isCentered = isCentered
    self.offset = offset
    self.factor = factor
  }

  package var parameters: [Parameter] { [weight] + (bias.map { [$0] } ?? []) }
}

extension Tape {
  /// As `rmsNorm`, or `layerNorm` of what is centred or has a bias, with weights that are
  /// parameters.
  package func trainedNorm(_ input: Variable, _ norm: TrainedNorm, epsilon: Float) -> Variable {
    let (shape, value) = (input.value.shape, input.value)
    let rows = shape.count / norm.weight.value.count
    let gain = gain(norm)
    let zeros = norm.isCentered ? Tensor(zeros: norm.weight.value.shape) : nil
    let shift = norm.bias.map { scaled($0.value, norm.factor) } ?? zeros
    let statistics = backend.allocate([rows, 2], .float32)
    let inverseRMS = backend.allocate([rows, 1], .float32)
    let normalized = { [backend] in
      let normalized = backend.allocate(shape, value.dtype)
      if let shift {
        backend.layerNorm(
          value, weight: gain, bias: shift, epsilon: epsilon, into: normalized,
          statistics: statistics)
      } else {
        backend.rmsNorm(
          value, weight: gain, epsilon: epsilon, into: normalized, inverseRMS: inverseRMS)
      }
      return normalized
    }
    let result = output(normalized(), of: [input], hasParameters: true, remake: normalized)
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      if shift == nil { keep(inverseRMS, in: statistics) }
      addGradients(norm, gradient, value, statistics)
      guard inputPlace.isWanted else { return }
      let target = gradientTarget(at: inputPlace)
      if shift != nil {
        backend.layerNormBackward(
          gradient, input: value, weight: gain, statistics: statistics,
          inputGradient: target.tensor, accumulating: target.accumulating)
      } else {
        backend.rmsNormBackward(
          gradient, input: value, weight: gain, inverseRMS: inverseRMS,
          inputGradient: target.tensor, accumulating: target.accumulating)
      }
    }
    return result
  }

  /// `factor · (weight + offset)`.
  private func gain(_ norm: TrainedNorm) -> Tensor {
    guard norm.offset != 0 else { return scaled(norm.weight.value, norm.factor) }
    let shape = norm.weight.value.shape
    let sum = backend.allocate(shape, .float32)
    let offsets = Tensor([Float](repeating: norm.offset, count: shape.count), shape: shape)
    backend.add(norm.weight.value, offsets, into: sum)
    if norm.factor != 1 { backend.scale(sum, by: norm.factor) }
    return sum
  }

  /// A copy: the optimizer changes parameters in place.
  private func scaled(_ value: Tensor, _ factor: Float) -> Tensor {
    let copy = backend.allocate(value.shape, .float32)
    backend.convert(value, into: copy)
    if factor != 1 { backend.scale(copy, by: factor) }
    return copy
  }

  /// An RMS norm's statistics in the form of a layer norm's: a mean of 0.
  private func keep(_ inverseRMS: Tensor, in statistics: Tensor) {
    backend.convert(Tensor(zeros: statistics.shape), into: statistics)
    backend.copyColumns(inverseRMS, column: 0, count: 1, into: statistics, outputColumn: 1)
  }

  private func addGradients(
    _ norm: TrainedNorm, _ gradient: Tensor, _ input: Tensor, _ statistics: Tensor
  ) {
    let (width, rows) = (norm.weight.value.count, statistics.shape[0])
    let gain = backend.allocate([1, width], .float32)
    let shift = norm.bias.map { _ in backend.allocate([1, width], .float32) }
    backend.modulatedNormBackward(
      gradient.reshaped([rows, width]), input: input.reshaped([rows, width]), scale: gain,
      statistics: statistics, bounds: [0, rows], inputGradient: nil, accumulating: false,
      shiftGradient: shift, scaleGradient: gain)
    for (parameter, sum) in [(norm.weight, gain), (norm.bias, shift)] {
      guard let parameter, let sum else { continue }
      if norm.factor != 1 { backend.scale(sum, by: norm.factor) }
      let target = parameter.gradient
      backend.add(target, sum.reshaped(target.shape), into: target)
    }
  }
}
