// Tables of tokens that are trained as a whole: the embedding, and the head with its loss.

extension Tape {
  /// `table[tokens[t]]`, `[tokens, width]` in `dtype`; `table [vocabulary, width]` is a parameter.
  package func lookUp(_ tokens: [Int32], _ table: Parameter, dtype: DType) -> Variable {
    let shape: Shape = [tokens.count, table.value.shape[1]]
    var rows = backend.allocate(shape, .float32)
    backend.gatherRows(table.value, tokens, into: rows)
    if dtype != .float32 {
      let rounded = backend.allocate(shape, dtype)
      backend.convert(rows, into: rounded)
      rows = rounded
    }
    let result = output(rows, of: [], hasParameters: true)
    let outputPlace = result.place
    record(result) { [self] in
      guard let gradient = takeGradient(at: outputPlace) else { return }
      // In the order of the tokens, so that a token that comes twice sums alike every time.
      for (row, token) in tokens.enumerated() {
        let place = table.gradient.rows(Int(token)..<Int(token) + 1)
        backend.add(place, gradient.rows(row..<row + 1), into: place)
      }
    }
    return result
  }

  /// Bytes of logits that exist at once: enough rows to read the head and its gradient seldom.
  private static let logitBytes = 64 << 20

  /// As `linearCrossEntropy`, with a head `[vocabulary, width]` that is a parameter and gets its
  /// gradient in the same pass.
  package func linearCrossEntropy(
    _ hidden: Variable, rows: [Int32], targets: [Int32], trainedHead head: Parameter,
    softCap: Float
  ) -> Double {
    let isWanted = hidden.needsGradient
    let hiddenGradient = isWanted ? backend.allocate(hidden.value.shape, .float32) : nil
    if let hiddenGradient {
      backend.convert(Tensor(zeros: hiddenGradient.shape), into: hiddenGradient)
    }
    let step = max(1, Self.logitBytes / (4 * head.value.shape[0]))
    var sum = 0.0
    for start in stride(from: 0, to: rows.count, by: step) {
      let range = start..<min(start + step, rows.count)
      let chunk = Array(rows[range])
      let picked = pick(hidden.value, chunk)
      let scores = capped(picked, head, softCap)
      let gradient = isRecording ? backend.allocate(scores.logits.shape, .float32) : nil
      sum += backend.crossEntropy(
        scores.logits, targets: Array(targets[range]), gradient: gradient)
      guard let gradient else { continue }
      if let bent = scores.bent {
        backend.applyBackward(.tanh, gradient, input: bent, inputGradient: gradient)
      }
      let rowGradient = hiddenGradient.map { _ in backend.allocate(picked.shape, .float32) }
      backend.denseLinearBackward(
        gradient, input: picked, weight: head.value, inputGradient: rowGradient,
        weightGradient: head.gradient, biasGradient: nil)
      if let hiddenGradient, let rowGradient { put(rowGradient, chunk, into: hiddenGradient) }
    }
    if let hiddenGradient { accumulate(hiddenGradient, into: hidden) }
    return sum
  }

  /// Logits `[rows, vocabulary]` float32 of rows by such a head.
  package func logits(_ hidden: Tensor, trainedHead head: Parameter, softCap: Float) -> Tensor {
    capped(hidden, head, softCap).logits
  }

  /// - Returns: `cap·tanh(bent)` where there is a cap, with what the tanh reads.
  private func capped(
    _ hidden: Tensor, _ head: Parameter, _ cap: Float
  ) -> (logits: Tensor, bent: Tensor?) {
    let logits = backend.allocate([hidden.shape[0], head.value.shape[0]], .float32)
    backend.denseLinear(hidden, weight: head.value, bias: nil, into: logits)
    guard cap > 0 else { return (logits, nil) }
    backend.scale(logits, by: 1 / cap)
    let bounded = backend.allocate(logits.shape, .float32)
    backend.apply(.tanh, to: logits, into: bounded)
    backend.scale(bounded, by: cap)
    return (bounded, logits)
  }

  private func pick(_ hidden: Tensor, _ rows: [Int32]) -> Tensor {
    let picked = backend.allocate([rows.count, hidden.shape[1]], hidden.dtype)
    backend.gatherRows(hidden, rows, into: picked)
    return picked
  }

  private func put(_ gradient: Tensor, _ rows: [Int32], into whole: Tensor) {
    for (index, row) in rows.enumerated() {
      let place = whole.rows(Int(row)..<Int(row) + 1)
      backend.convert(gradient.rows(index..<index + 1), into: place)
    }
  }
}
