// The gradients of `linear`: `dX = dY·W + scale·(dY·B)·A`, `dA = scale·(dY·B)ᵀ·x`,
// `dB = scale·dYᵀ·u`. The output gradients of all terms stand side by side, each with scale·dY·B
// behind it; their weights stand below one another, each with A below it. One product gives dX.
import QLoRATensor

/// What backward computes with for all terms at once.
private struct WideGradients {
  /// `[tokens, width]`.
  let memory: Tensor
  let matrix: DeviceMatrix
  /// Columns in all, a multiple of 8.
  let width: Int
  /// Where each term's columns begin.
  let places: [Int]
}

extension CUDABackend {
  package func linearBackward(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    if input.shape[0] == 0 || terms.isEmpty { return }
    let input = input.dtype == .float16 ? widened(input) : input
    let wide = widen(terms, productType(input))
    if let inputGradient {
      backpropagate(wide, terms, into: inputGradient, accumulating: accumulating)
    }
    for (index, term) in terms.enumerated() {
      guard let adapter = term.adapter else { continue }
      let low = wide.matrix.columns(from: wide.places[index] + term.weight.outFeatures)
      if let inputGradient, let mask = adapter.dropout {
        addDropped(low, adapter, mask, to: inputGradient)
      }
      addGradients(term, adapter, input, wide.matrix.columns(from: wide.places[index]), low)
    }
  }

  /// Output gradients in the products' type, each with `scale·dY·B` behind it.
  private func widen(_ terms: [LinearGradientTerm], _ dtype: DType) -> WideGradients {
    let tokens = terms[0].outputGradient.shape[0]
    let widths = terms.map { $0.weight.outFeatures + ($0.adapter?.b.shape[1] ?? 0) }
    let places = widths.indices.map { widths[..<$0].reduce(0, +) }
    let used = widths.reduce(0, +)
    let width = (used + 7) / 8 * 8
    let memory = allocate([tokens, width], dtype)
    let target = writable(memory)
    copy(nil, to: target.columns(from: used), rows: tokens, columns: width - used)
    for (index, term) in terms.enumerated() {
      let (rows, place) = (term.weight.outFeatures, target.columns(from: places[index]))
      copy(matrix(term.outputGradient), to: place, rows: tokens, columns: rows)
      guard let adapter = term.adapter else { continue }
      let b = converted(adapter.b, dtype)
      products.multiply(
        place, matrix(b), into: place.columns(from: rows), rows: tokens,
        columns: adapter.b.shape[1], depth: rows, factor: adapter.scale)
    }
    return WideGradients(memory: memory, matrix: target, width: width, places: places)
  }

  private func backpropagate(
    _ wide: WideGradients, _ terms: [LinearGradientTerm], into output: Tensor, accumulating: Bool
  ) {
    let (columns, dtype) = (output.shape[1], wide.matrix.dtype)
    let stack = allocate([wide.width, columns], dtype)
    let target = writable(stack)
    var row = 0
    for (index, term) in terms.enumerated() {
      let weight = deviceWeight(term.weight)
      row = wide.places[index]
      decode(weight, rows: 0..<weight.outFeatures, into: target.rows(from: row))
      row += weight.outFeatures
      guard let adapter = term.adapter else { continue }
      // Behind a dropout the branch goes its own way.
      let a = adapter.dropout == nil ? matrix(adapter.a) : nil
      copy(a, to: target.rows(from: row), rows: adapter.a.shape[0], columns: columns)
      row += adapter.a.shape[0]
    }
    copy(nil, to: target.rows(from: row), rows: wide.width - row, columns: columns)
    products.multiply(
      wide.matrix, target, into: writable(output), rows: output.shape[0], columns: columns,
      depth: wide.width, adding: accumulating)
  }

  /// `output += mask(low·A)`.
  private func addDropped(
    _ low: DeviceMatrix, _ adapter: AdapterTerm, _ mask: DropoutMask, to output: Tensor
  ) {
    let a = converted(adapter.a, low.dtype)
    let branch = allocate(output.shape, .float32)
    products.multiply(
      low, matrix(a), into: writable(branch), rows: output.shape[0], columns: output.shape[1],
      depth: adapter.a.shape[0])
    dropout(branch, mask, into: output, accumulating: true)
  }

  private func addGradients(
    _ term: LinearGradientTerm, _ adapter: AdapterTerm, _ input: Tensor, _ gradient: DeviceMatrix,
    _ low: DeviceMatrix
  ) {
    let (tokens, rank) = (input.shape[0], adapter.a.shape[0])
    if let target = term.aGradient {
      let source = adapter.dropout.map { dropped(input, $0) } ?? input
      products.multiply(
        low.across, matrix(source), into: writable(target), rows: rank, columns: input.shape[1],
        depth: tokens, adding: true)
    }
    if let target = term.bGradient {
      let projected = converted(adapter.projected, gradient.dtype)
      products.multiply(
        gradient.across, matrix(projected), into: writable(target), rows: term.weight.outFeatures,
        columns: rank, depth: tokens, factor: adapter.scale, adding: true)
    }
  }
}
