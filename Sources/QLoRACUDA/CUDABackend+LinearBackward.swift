// The gradients of `linear`: `dX = dY·W + scale·(dY·B)·A`, `dA = scale·(dY·B)ᵀ·x`,
// `dB = scale·dYᵀ·u`. The output gradients of all terms stand side by side, and behind them what
// each adapter makes of its own, scale·dY·B; the weights stand below one another, and below them
// each A. One product gives dX, and one each those small factors, all dA and all dB: a product that
// mixes terms is cheaper than one for each, as it reads the same memory once. Behind a dropout an
// adapter sees an input of its own, and has its own products for dX and dA. What is no number in
// the gradient of one term makes the others' adapters none either; such a step is refused anyway.
import QLoRATensor

/// What backward computes with for all linears at once.
private struct WideGradients {
  let linears: [BackwardLinear]
  let branches: AdapterBranches
  let tokens: Int
  /// Where each linear's columns begin.
  let places: [Int]
  /// Of all output gradients; scale·dY·B follows.
  let outputColumns: Int
  /// `[tokens, width]` in the products' type.
  let memory: Tensor
  /// Where `memory` lies, which lives as long.
  let matrix: DeviceMatrix

  init(_ linears: [BackwardLinear], input: Tensor, on backend: CUDABackend) {
    self.linears = linears
    tokens = input.shape[0]
    branches = AdapterBranches(linears.map(\.adapter))
    var columns = 0
    places = linears.map { linear in
      defer { columns += linear.weight.outFeatures }
      return columns
    }
    outputColumns = columns
    // A multiple of 8, as cuBLASLt's fastest kernels want it.
    let width = (columns + branches.rank + 7) / 8 * 8
    memory = backend.allocate([tokens, width], backend.productType(input))
    matrix = backend.writable(memory)
  }

  var width: Int { matrix.stride }
  var dtype: DType { matrix.dtype }

  /// Where the gradient of a linear's output goes.
  func place(of index: Int) -> DeviceMatrix { matrix.columns(from: places[index]) }

  /// From the first linear that has an adapter to the last.
  var adapted: Range<Int> {
    guard let first = branches.all.first, let last = branches.all.last else { return 0..<0 }
    return places[first.term]..<places[last.term] + linears[last.term].weight.outFeatures
  }
}

extension CUDABackend {
  package func linearBackward(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    if input.shape[0] == 0 || terms.isEmpty { return }
    let wide = WideGradients(terms.map(\.linear), input: input, on: self)
    let copies = terms.enumerated().map { index, term in
      MatrixCopy(
        from: matrix(term.outputGradient), to: wide.place(of: index), rows: wide.tokens,
        columns: term.weight.outFeatures)
    }
    differentiate(wide, copies, input, inputGradient, accumulating: accumulating)
  }

  package func activatedLinearBackward(
    _ outputGradient: consuming Tensor, _ activation: ActivationInputs,
    _ linears: [BackwardLinear], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    if input.shape[0] == 0 { return }
    let wide = WideGradients(linears, input: input, on: self)
    activationBackward(
      outputGradient, activation, gateGradient: wide.place(of: 0),
      upGradient: activation.up == nil ? nil : wide.place(of: 1))
    // As large as the weights that are decoded now.
    _ = consume outputGradient
    differentiate(wide, [], input, inputGradient, accumulating: accumulating)
  }

  /// - Parameter copies: what is still to be copied to the output gradients' places.
  private func differentiate(
    _ wide: WideGradients, _ copies: [MatrixCopy], _ input: Tensor, _ inputGradient: Tensor?,
    accumulating: Bool
  ) {
    let input = input.dtype == .float16 ? widened(input) : input
    let projected = allocate([wide.tokens, wide.branches.rank], wide.dtype)
    defer { withExtendedLifetime((wide.memory, projected)) {} }
    project(wide, copies, writable(projected))
    if let inputGradient {
      backpropagate(wide, into: inputGradient, accumulating: accumulating)
    }
    if wide.branches.rank == 0 { return }
    var sums: [Tensor] = []
    defer { withExtendedLifetime(sums) {} }
    copy(
      addGradientsOfA(wide, input, keeping: &sums)
        + addGradientsOfB(wide, matrix(projected), keeping: &sums))
  }

  /// `scale·dY·B` behind the gradients, and what the adapters projected in the products' type.
  private func project(
    _ wide: WideGradients, _ copies: [MatrixCopy], _ projected: DeviceMatrix
  ) {
    let (rank, adapted) = (wide.branches.rank, wide.adapted)
    let factors = allocate([adapted.count, rank], wide.dtype)
    defer { withExtendedLifetime(factors) {} }
    let target = writable(factors)
    var copies = copies
    copies.append(
      MatrixCopy(
        to: wide.matrix.columns(from: wide.outputColumns + rank), rows: wide.tokens,
        columns: wide.width - wide.outputColumns - rank))
    for branch in wide.branches.all {
      copies.append(
        MatrixCopy(
          from: matrix(branch.adapter.projected), to: projected.columns(from: branch.column),
          rows: wide.tokens, columns: branch.rank))
    }
    copy(copies + diagonal(wide, in: target))
    products.multiply(
      wide.matrix.columns(from: adapted.lowerBound), target,
      into: wide.matrix.columns(from: wide.outputColumns), rows: wide.tokens, columns: rank,
      depth: adapted.count)
  }

  /// Each term's scale·B in its own rows and columns, zeros elsewhere.
  private func diagonal(_ wide: WideGradients, in target: DeviceMatrix) -> [MatrixCopy] {
    let (rank, first) = (wide.branches.rank, wide.adapted.lowerBound)
    let inside = wide.linears.indices.filter { wide.adapted.contains(wide.places[$0]) }
    return inside.flatMap { index in
      let rows = wide.linears[index].weight.outFeatures
      let place = target.rows(from: wide.places[index] - first)
      let begin = wide.branches.column(ofTerm: index)
      let adapter = wide.linears[index].adapter
      let end = begin + (adapter?.b.shape[1] ?? 0)
      return [
        MatrixCopy(to: place, rows: rows, columns: begin),
        MatrixCopy(
          from: adapter.map { matrix($0.b) }, to: place.columns(from: begin), rows: rows,
          columns: end - begin, factor: adapter?.scale ?? 1),
        MatrixCopy(to: place.columns(from: end), rows: rows, columns: rank - end),
      ]
    }
  }

  /// `output = (+ itself) dY·W + scale·(dY·B)·A` of all terms.
  private func backpropagate(_ wide: WideGradients, into output: Tensor, accumulating: Bool) {
    let columns = output.shape[1]
    let stack = allocate([wide.width, columns], wide.dtype)
    defer { withExtendedLifetime(stack) {} }
    let target = writable(stack)
    for (linear, place) in zip(wide.linears, wide.places) {
      let weight = deviceWeight(linear.weight)
      decode(weight, rows: 0..<weight.outFeatures, into: target.rows(from: place))
    }
    let end = wide.outputColumns + wide.branches.rank
    var copies = wide.branches.all.map { branch in
      // Behind a dropout the branch goes its own way.
      MatrixCopy(
        from: branch.adapter.dropout == nil ? matrix(branch.adapter.a) : nil,
        to: target.rows(from: wide.outputColumns + branch.column), rows: branch.rank,
        columns: columns)
    }
    copies.append(
      MatrixCopy(to: target.rows(from: end), rows: wide.width - end, columns: columns))
    copy(copies)
    products.multiply(
      wide.matrix, target, into: writable(output), rows: wide.tokens, columns: columns,
      depth: wide.width, adding: accumulating)
    for branch in wide.branches.all {
      guard let mask = branch.adapter.dropout else { continue }
      let low = wide.matrix.columns(from: wide.outputColumns + branch.column)
      addDropped(low, branch.adapter, mask, to: output)
    }
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

  /// Adds to the gradient of an adapter that is alone; of several the sums are kept in `sums`.
  /// - Returns: how the sums get to their gradients.
  private func addGradientsOfA(
    _ wide: WideGradients, _ input: Tensor, keeping sums: inout [Tensor]
  ) -> [MatrixCopy] {
    let columns = input.shape[1]
    var copies: [MatrixCopy] = []
    for group in wide.branches.groups {
      let source = group.dropout.map { dropped(input, $0) } ?? input
      let targets = group.branches.map { wide.linears[$0.term].aGradient }
      let isAlone = targets.count == 1
      guard let product = isAlone ? targets[0] : allocate([group.rank, columns], .float32)
      else { continue }
      let sum = writable(product)
      products.multiply(
        wide.matrix.columns(from: wide.outputColumns + group.column).across, matrix(source),
        into: sum, rows: group.rank, columns: columns, depth: wide.tokens, adding: isAlone)
      if isAlone { continue }
      sums.append(product)
      for case (let branch, let target?) in zip(group.branches, targets) {
        copies.append(
          MatrixCopy(
            from: sum.rows(from: branch.column - group.column), to: writable(target),
            rows: branch.rank, columns: columns, isAdding: true))
      }
    }
    return copies
  }

  /// As for A.
  private func addGradientsOfB(
    _ wide: WideGradients, _ projected: DeviceMatrix, keeping sums: inout [Tensor]
  ) -> [MatrixCopy] {
    let (branches, adapted) = (wide.branches.all, wide.adapted)
    let targets = branches.map { wide.linears[$0.term].bGradient }
    let isAlone = branches.count == 1
    guard
      let product = isAlone ? targets[0] : allocate([adapted.count, wide.branches.rank], .float32)
    else { return [] }
    let sum = writable(product)
    products.multiply(
      wide.matrix.columns(from: adapted.lowerBound).across, projected, into: sum,
      rows: adapted.count, columns: wide.branches.rank, depth: wide.tokens,
      factor: isAlone ? branches[0].adapter.scale : 1, adding: isAlone)
    if isAlone { return [] }
    sums.append(product)
    return zip(branches, targets).compactMap { branch, target in
      target.map {
        MatrixCopy(
          from: sum.rows(from: wide.places[branch.term] - adapted.lowerBound)
            .columns(from: branch.column),
          to: writable($0), rows: $0.shape[0], columns: branch.rank,
          factor: branch.adapter.scale, isAdding: true)
      }
    }
  }
}
