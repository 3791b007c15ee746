// The gated activation and the residual sum.

extension Tape {
  /// `silu(gate) · up`, element by element.
  /// Source: Shazeer 2020, "GLU Variants Improve Transformer", arXiv:2002.05202.
  package func siluMultiply(_ gate: Variable, _ up: Variable) -> Variable {
    let product = backend.allocate(gate.value.shape, gate.value.dtype)
    backend.siluMultiply(gate.value, up.value, into: product)
    let result = output(product, of: [gate, up])
    record(result) { [self] in
      guard let gradient = takeGradient(of: result) else { return }
      let gateGradient = backend.allocate(gate.value.shape, .float32)
      let upGradient = backend.allocate(up.value.shape, .float32)
      backend.siluMultiplyBackward(
        gradient, gate: gate.value, up: up.value, gateGradient: gateGradient,
        upGradient: upGradient)
      accumulate(gateGradient, into: gate)
      accumulate(upGradient, into: up)
    }
    return result
  }

  /// `left + right` in the type of `left`. Both receive the same gradient, without a copy.
  package func add(_ left: Variable, _ right: Variable) -> Variable {
    let sum = backend.allocate(left.value.shape, left.value.dtype)
    backend.add(left.value, right.value, into: sum)
    let result = output(sum, of: [left, right])
    record(result) { [self] in
      guard let gradient = takeGradient(of: result) else { return }
      accumulate(gradient, into: left)
      accumulate(gradient, into: right)
    }
    return result
  }
}
