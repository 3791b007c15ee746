// Activations, the residual sum, and a constant factor.

extension Tape {
  /// `activation(gate) · up`, element by element, or `activation(gate)` where there is no `up`.
  /// Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202.
  ///
  /// The product is as wide as its inputs and cheap beside the linear that reads it: backward
  /// makes it again instead of keeping it.
  package func activate(_ gate: Variable, _ up: Variable?, _ activation: Activation) -> Variable {
    if activation == .relu, up == nil { return apply(.relu, to: gate) }
    let inputs = ActivationInputs(activation, gate: gate.value, up: up?.value)
    let product = { [backend] in backend.activated(inputs) }
    let result = output(product(), of: [gate] + (up.map { [$0] } ?? []), remake: product)
    let places = [gate.place] + (up.map { [$0.place] } ?? [])
    let outputPlace = result.place
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      for (gradient, place) in zip(backend.activationGradients(gradient, inputs), places) {
        accumulate(gradient, at: place)
      }
    }
    return result
  }

  /// `factor · input`, over `input`'s own value, which no other operation may need afterwards.
  package func scaled(_ input: Variable, by factor: Float) -> Variable {
    if factor == 1 { return input }
    backend.scale(input.value, by: factor)
    let result = output(input.value, of: [input])
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      backend.scale(gradient, by: factor)
      accumulate(gradient, at: inputPlace)
    }
    return result
  }

  /// `left + right` in the type of `left`. Both receive the same gradient, without a copy.
  package func add(_ left: Variable, _ right: Variable) -> Variable {
    let sum = backend.allocate(left.value.shape, left.value.dtype)
    backend.add(left.value, right.value, into: sum)
    let result = output(sum, of: [left, right])
    let (leftPlace, rightPlace, outputPlace) = (left.place, right.place, result.place)
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      accumulate(gradient, at: leftPlace)
      accumulate(gradient, at: rightPlace)
    }
    return result
  }
}
