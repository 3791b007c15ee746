// Activations, the residual sum, and a constant factor.

extension Tape {
  /// `silu(gate) · up`, element by element.
  /// Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202.
  ///
  /// The product is as wide as both inputs and cheap beside the linear that reads it: backward
  /// makes it again instead of keeping it.
  package func siluMultiply(_ gate: Variable, _ up: Variable) -> Variable {
    let (gateValue, upValue) = (gate.value, up.value)
    let product = { [backend] in
      let product = backend.allocate(gateValue.shape, gateValue.dtype)
      backend.siluMultiply(gateValue, upValue, into: product)
      return product
    }
    let result = output(product(), of: [gate, up], remake: product)
    let (gatePlace, upPlace, outputPlace) = (gate.place, up.place, result.place)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      let (gateGradient, upGradient) = gatedGradients(gradient, gatePlace, upPlace)
      backend.siluMultiplyBackward(
        gradient, gate: gateValue, up: upValue, gateGradient: gateGradient,
        upGradient: upGradient)
      accumulate(gateGradient, at: gatePlace)
      accumulate(upGradient, at: upPlace)
    }
    return result
  }

  /// Memory for the gradients of a gate and of what it lets through. They are the widest of a
  /// block: they are as narrow as their readers want them, or one takes the place of the product's.
  private func gatedGradients(
    _ gradient: Tensor, _ gate: GradientPlace, _ up: GradientPlace
  ) -> (gate: Tensor, up: Tensor) {
    let dtype = gate.dtype == up.dtype ? gate.dtype : .float32
    let upGradient = backend.allocate(up.shape, dtype)
    return (dtype == .float32 ? gradient : backend.allocate(gate.shape, dtype), upGradient)
  }

  /// `activation(gate) · up`, or `activation(gate)` where there is no `up`; kept as above.
  package func activate(_ gate: Variable, _ up: Variable?, _ activation: Activation) -> Variable {
    if activation == .silu, let up { return siluMultiply(gate, up) }
    if activation == .relu, up == nil { return apply(.relu, to: gate) }
    precondition(activation != .silu, "silu is gated in every family")
    precondition(activation != .relu, "relu is gated in no family")
    let (gateValue, upValue) = (gate.value, up?.value)
    let product = { [backend] in
      let product = backend.allocate(gateValue.shape, gateValue.dtype)
      backend.geluMultiply(gateValue, upValue, activation, into: product)
      return product
    }
    let result = output(product(), of: [gate] + (up.map { [$0] } ?? []), remake: product)
    let (gatePlace, upPlace, outputPlace) = (gate.place, up?.place, result.place)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      let pair = upPlace.map { gatedGradients(gradient, gatePlace, $0) }
      let gateGradient = pair?.gate ?? gradient
      backend.geluMultiplyBackward(
        gradient, gate: gateValue, up: upValue, activation, gateGradient: gateGradient,
        upGradient: pair?.up)
      accumulate(gateGradient, at: gatePlace)
      if let upPlace, let pair { accumulate(pair.up, at: upPlace) }
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
