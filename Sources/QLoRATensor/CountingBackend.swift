// A backend that counts floating-point operations and leaves the work to another one. Over one that
// only allocates it makes the shape-only backend: the model's own code, without data.
import Synchronization

/// Counts a multiplication and an addition as two operations, of products, attention and the head;
/// what goes once over rows costs memory traffic, not arithmetic, and is not counted.
package final class CountingBackend: Backend {
  let inner: any Backend
  private let count = Mutex(0.0)

  package init(_ inner: any Backend) { self.inner = inner }

  /// Operations so far.
  package var operations: Double { count.withLock { $0 } }

  func add(_ operations: Double) { count.withLock { $0 += operations } }

  /// Of `tokens` rows through matrices with `elements` in all.
  private func addProduct(_ tokens: Int, _ elements: Int) {
    add(2 * Double(tokens) * Double(elements))
  }

  /// Of `matrices` products between queries and keys, or weights and values, under the layout's
  /// mask.
  private func addAttention(_ layout: AttentionLayout, _ bounds: [Int], matrices: Int) {
    let pairs = zip(bounds, bounds.dropFirst()).reduce(0.0) { sum, bound in
      let length = Double(bound.1 - bound.0)
      if !layout.isCausal { return sum + length * length }
      // Beyond a window, every further query sees as many keys.
      let growing = layout.window > 0 ? min(length, Double(layout.window)) : length
      return sum + growing * (growing + 1) / 2 + (length - growing) * growing
    }
    add(2 * Double(matrices) * pairs * Double(layout.headSize * layout.heads))
  }
}

extension PreparedWeight {
  fileprivate var elements: Int { outFeatures * inFeatures }
}

// MARK: What is counted
extension CountingBackend {
  package func linear(_ input: Tensor, _ terms: [LinearTerm]) {
    for term in terms {
      let adapter = term.adapter.map { $0.a.count + $0.b.count } ?? 0
      addProduct(input.shape[0], term.weight.elements + adapter)
    }
    inner.linear(input, terms)
  }

  package func linearBackward(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    addBackward(terms.map(\.linear), input, givesInput: inputGradient != nil)
    inner.linearBackward(
      terms, input: input, inputGradient: inputGradient, accumulating: accumulating)
  }

  package func activatedLinearBackward(
    _ outputGradient: consuming Tensor, _ activation: ActivationInputs,
    _ linears: [BackwardLinear], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    addBackward(linears, input, givesInput: inputGradient != nil)
    inner.activatedLinearBackward(
      outputGradient, activation, linears, input: input, inputGradient: inputGradient,
      accumulating: accumulating)
  }

  private func addBackward(_ linears: [BackwardLinear], _ input: Tensor, givesInput: Bool) {
    for linear in linears {
      let tokens = input.shape[0]
      if givesInput { addProduct(tokens, linear.weight.elements) }
      // dY·B, its product with A, and the gradients of both halves.
      guard let adapter = linear.adapter else { continue }
      addProduct(tokens, adapter.b.count + (givesInput ? adapter.a.count : 0))
      addProduct(tokens, (linear.aGradient?.count ?? 0) + (linear.bGradient?.count ?? 0))
    }
  }

  package func linearCrossEntropy(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float,
    hiddenGradient: Tensor?
  ) -> Double {
    addProduct(rows.count, head.elements * (hiddenGradient == nil ? 1 : 2))
    return inner.linearCrossEntropy(
      hidden, rows: rows, targets: targets, head: head, softCap: softCap,
      hiddenGradient: hiddenGradient)
  }

  package func scoreTokens(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PreparedWeight, softCap: Float
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    addProduct(rows.count, head.elements)
    return inner.scoreTokens(hidden, rows: rows, targets: targets, head: head, softCap: softCap)
  }

  package func attention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, bounds: [Int],
    into output: Tensor, logSumExp: Tensor
  ) {
    addAttention(layout, bounds, matrices: 2)
    inner.attention(
      query: query, key: key, value: value, layout: layout, bounds: bounds, into: output,
      logSumExp: logSumExp)
  }

  package func attentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, bounds: [Int], queryGradient: Tensor,
    keyGradient: Tensor, valueGradient: Tensor
  ) {
    // Scores once more, and the gradients of probabilities, queries, keys and values.
    addAttention(layout, bounds, matrices: 5)
    inner.attentionBackward(
      outputGradient, query: query, key: key, value: value, output: output, logSumExp: logSumExp,
      layout: layout, bounds: bounds, queryGradient: queryGradient, keyGradient: keyGradient,
      valueGradient: valueGradient)
  }

  package func cachedAttention(
    query: Tensor, keys: Tensor, values: Tensor, keyCount: Int, layout: AttentionLayout,
    into output: Tensor
  ) {
    addProduct(query.shape[0], 2 * keyCount * layout.headSize * layout.heads)
    inner.cachedAttention(
      query: query, keys: keys, values: values, keyCount: keyCount, layout: layout, into: output)
  }
}
