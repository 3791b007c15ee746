// The parts of what one linear puts out for several uses.

extension Tape {
  /// Parts of each row, `widths` elements one after the other; the input's rows may be several of
  /// these. Part `i` is `[tokens, rows of a token · widths[i]]`. All parts are used, or none.
  package func split(_ input: Variable, widths: [Int]) -> [Variable] {
    let tokens = input.value.shape[0]
    let rows = input.value.count / max(1, tokens) / widths.reduce(0, +)
    let parts = widths.map { backend.allocate([tokens, rows * $0], input.value.dtype) }
    backend.split(input.value, widths: widths, into: parts)
    let results = parts.map { output($0, of: [input]) }
    guard let last = results.last else { return [] }
    let (inputPlace, places) = (input.place, results.map(\.place))
    record(last) { [self] in
      let gradients = places.compactMap(takeGradient)
      guard gradients.count == widths.count else { return }
      let gradient = backend.allocate(inputPlace.shape, .float32)
      backend.join(gradients, widths: widths, into: gradient)
      accumulate(gradient, at: inputPlace)
    }
    return results
  }
}
