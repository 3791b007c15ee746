// What conditions a block of an image model on timestep and prompt: a norm that is scaled and
// shifted, and a residual behind a gate, both by vectors of the sample.

extension Tape {
  /// `n(x) · (1 + scale[s]) + shift[s]` for the rows of each sample `bounds[s] ..< bounds[s+1]`,
  /// where n is layer norm without weights. `input [rows, width]`, `shift`, `scale
  /// [samples, width]` float32.
  /// Source: Peebles & Xie 2023, arXiv:2212.09748, section 3.2 (adaLN).
  ///
  /// As after `rmsNorm`, the linears behind it get the rows again in backward.
  package func modulatedNorm(
    _ input: Variable, shift: Variable, scale: Variable, bounds: [Int], epsilon: Float
  ) -> Variable {
    let (value, shape) = (input.value, input.value.shape)
    let (shiftValue, scaleValue) = (shift.value, scale.value)
    let statistics = backend.allocate([shape[0], 2], .float32)
    let modulated = { [backend] in
      let modulated = backend.allocate(shape, value.dtype)
      backend.modulatedNorm(
        value, shift: shiftValue, scale: scaleValue, bounds: bounds, epsilon: epsilon,
        into: modulated, statistics: statistics)
      return modulated
    }
    let result = output(modulated(), of: [input, shift, scale], remake: modulated)
    let (inputPlace, outputPlace) = (input.place, result.place)
    let (shiftPlace, scalePlace) = (shift.place, scale.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let target = inputPlace.isWanted ? gradientTarget(at: inputPlace) : nil
      let shiftGradient = freshGradient(at: shiftPlace)
      let scaleGradient = freshGradient(at: scalePlace)
      backend.modulatedNormBackward(
        gradient, input: value, scale: scaleValue, statistics: statistics, bounds: bounds,
        inputGradient: target?.tensor, accumulating: target?.accumulating ?? false,
        shiftGradient: shiftGradient, scaleGradient: scaleGradient)
      if let shiftGradient { accumulate(shiftGradient, at: shiftPlace) }
      if let scaleGradient { accumulate(scaleGradient, at: scalePlace) }
    }
    return result
  }

  /// `residual + gate[s] · values` for the rows of each sample; `gate [samples, width]` float32.
  /// Source: the same (adaLN-Zero).
  package func gatedAdd(
    _ residual: Variable, _ values: Variable, gate: Variable, bounds: [Int]
  ) -> Variable {
    let sum = backend.allocate(residual.value.shape, residual.value.dtype)
    let gateValue = gate.value
    backend.gatedAdd(residual.value, values.value, gate: gateValue, bounds: bounds, into: sum)
    let result = output(sum, of: [residual, values, gate])
    // Only the gate's gradient needs the values.
    let kept = gate.needsGradient ? values.kept : nil
    let (residualPlace, valuesPlace) = (residual.place, values.place)
    let (gatePlace, outputPlace) = (gate.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      let valuesGradient = freshGradient(at: valuesPlace)
      let gateGradient = freshGradient(at: gatePlace)
      backend.gatedAddBackward(
        gradient, values: kept?(), gate: gateValue, bounds: bounds,
        valuesGradient: valuesGradient, gateGradient: gateGradient)
      if let valuesGradient { accumulate(valuesGradient, at: valuesPlace) }
      if let gateGradient { accumulate(gateGradient, at: gatePlace) }
      accumulate(gradient, at: residualPlace)
    }
    return result
  }

  /// Memory for a gradient that is written and then accumulated; nil where nobody wants it.
  private func freshGradient(at place: GradientPlace) -> Tensor? {
    place.isWanted ? backend.allocate(place.shape, .float32) : nil
  }
}
