// The head and the loss as one operation: logits of all tokens never exist together.

extension Tape {
  /// Σ over `rows` of `−log softmax(logits)[target]`, for the labelled tokens only, with
  /// `logits = hidden[row]·headᵀ`, capped where `softCap` is not 0.
  ///
  /// Where recording, the gradient by `hidden` is formed in the same pass over the chunks of
  /// logits, so it is the start of backward: `runBackward()` needs no further seed.
  package func linearCrossEntropy(
    _ hidden: Variable, rows: [Int32], targets: [Int32], head: any PreparedWeight,
    softCap: Float = 0
  ) -> Double {
    guard hidden.needsGradient else {
      return backend.linearCrossEntropy(
        hidden.value, rows: rows, targets: targets, head: head, softCap: softCap,
        hiddenGradient: nil)
    }
    let gradient = backend.allocate(hidden.value.shape, .float32)
    let sum = backend.linearCrossEntropy(
      hidden.value, rows: rows, targets: targets, head: head, softCap: softCap,
      hiddenGradient: gradient)
    accumulate(gradient, into: hidden)
    return sum
  }
}
