// A function of each element, such as an activation without a gate.

extension Tape {
  /// f(x), element by element. It is cheap beside the linear that reads it, and made again for it.
  package func apply(_ function: ElementFunction, to input: Variable) -> Variable {
    let value = input.value
    let applied = { [backend] in
      let applied = backend.allocate(value.shape, value.dtype)
      backend.apply(function, to: value, into: applied)
      return applied
    }
    let result = output(applied(), of: [input], remake: applied)
    let (inputPlace, outputPlace) = (input.place, result.place)
    record(result) { [self] in
      guard let gradient = takeOwnGradient(at: outputPlace) else { return }
      backend.applyBackward(function, gradient, input: value, inputGradient: gradient)
      accumulate(gradient, at: inputPlace)
    }
    return result
  }
}
