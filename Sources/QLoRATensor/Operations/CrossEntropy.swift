// The head and the loss as one operation: logits of all tokens never exist together.

extension Tape {
  /// Σ over `rows` of `−log softmax(hidden[row]·headᵀ)[target]`, for the labelled tokens only.
  ///
  /// Where recording, the gradient by `hidden` is formed in the same pass over the chunks of
  /// logits, so it is the start of backward: `runBackward()` needs no further seed.
  package func linearCrossEntropy(
    _ hidden: Variable, rows: [Int32], targets: [Int32], head: any PreparedWeight
  ) -> Double {
    guard hidden.needsGradient else {
      return backend.linearCrossEntropy(
        hidden.value, rows: rows, targets: targets, head: head, hiddenGradient: nil)
    }
    let gradient = backend.allocate(hidden.value.shape, .float32)
    let sum = backend.linearCrossEntropy(
      hidden.value, rows: rows, targets: targets, head: head, hiddenGradient: gradient)
    accumulate(gradient, into: hidden)
    return sum
  }
}
