// The gradients of `linear` in products of bf16: gradients of outputs are rounded to bf16
// once, all terms and their adapters are stretches of one reduction, and sums are fp32.
import CQLoRAKernels
import QLoRATensor

/// What backward computes with for one term.
private struct MatrixGradientTerm {
  let weight: any PanelWeight
  /// dY, the reduction along the outputs.
  let gradient: TokenStrips
  /// dY, the reduction along the tokens; nil where B wants no gradient.
  let gradientColumns: TokenColumns?
  let adapter: AdapterTerm?
  /// `scale·dY·B`, twice side by side.
  let low: TokenStrips?
  /// The same, once: `[tokens, rank]` float32.
  let lowValues: Tensor?

  /// A dropout's mask lies behind the branch, which then is no stretch of the sum.
  var joinsBranch: Bool { adapter != nil && adapter?.dropout == nil }
  var steps: Int { gradient.steps + (joinsBranch ? low?.steps ?? 0 : 0) }
}

// SAFETY: as in `CPUBackend+MatrixLinear.swift`; items write disjoint columns.
extension CPUBackend {
  func linearBackwardByMatrix(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool,
    _ kernels: qlora_matrix_kernels
  ) {
    let prepared = terms.map { prepare($0, kernels) }
    if let inputGradient {
      backpropagate(prepared, into: inputGradient, accumulating: accumulating, kernels)
      for term in prepared where term.adapter?.dropout != nil {
        backpropagateDropped(term, into: inputGradient, kernels)
      }
    }
    addGradients(sums(of: terms, prepared, input, kernels), kernels)
  }

  private func prepare(
    _ term: LinearGradientTerm, _ kernels: qlora_matrix_kernels
  ) -> MatrixGradientTerm {
    let needsColumns = term.bGradient != nil
    let (gradient, gradientColumns): (TokenStrips, TokenColumns?) =
      needsColumns
      ? stripsAndColumns(of: term.outputGradient, kernels)
      : (strips(of: term.outputGradient, kernels), nil)
    var (low, values): (TokenStrips?, Tensor?) = (nil, nil)
    if let adapter = term.adapter {
      let rank = adapter.b.shape[1]
      let lowValues = allocate([gradient.tokens, rank], .float32)
      let columns = packBack(adapter.b, kernels)
      low = lowRank(gradient, columns, rank: rank, scale: adapter.scale, kernels) {
        sums, token, count in
        let place = lowValues.pointer(Float.self) + token * rank
        for index in 0..<count * rank { place[index] = adapter.scale * sums[index] }
      }
      values = lowValues
    }
    return MatrixGradientTerm(
      weight: panelWeight(term.weight), gradient: gradient, gradientColumns: gradientColumns,
      adapter: term.adapter, low: low, lowValues: values)
  }

  /// B as columns, the reduction along the outputs: for every 16 of the rank a half of B as rounded
  /// beside a half of the rest.
  private func packBack(_ b: Tensor, _ kernels: qlora_matrix_kernels) -> Storage {
    let (outFeatures, rank) = (b.shape[0], b.shape[1])
    let rest = allocate(b.shape, .float32)
    let (values, rests) = (b.pointer(Float.self), rest.pointer(Float.self))
    kernels.residual(b.count, values, rests)
    let blocks = (rank + 15) / 16
    let block = MatrixBlocking.steps(outFeatures) * QLORA_STEP_ELEMENTS
    let storage = storagePool.borrow(blocks * block * 2)
    let output = storage.baseAddress.assumingMemoryBound(to: UInt16.self)
    threadPool.run(blocks) { index in
      let (column, place) = (16 * index, output + index * block)
      let width = min(16, rank - column)
      kernels.half_of_tokens_f32(outFeatures, width, values + column, rank, place)
      kernels.half_of_tokens_f32(
        outFeatures, width, rests + column, rank, place + QLORA_STEP_ELEMENTS / 2)
    }
    return storage
  }

  // MARK: The input's gradient

  private func backpropagate(
    _ terms: [MatrixGradientTerm], into output: Tensor, accumulating: Bool,
    _ kernels: qlora_matrix_kernels
  ) {
    let columns = output.shape[1]
    let steps = terms.reduce(0) { $0 + $1.steps }
    let size = MatrixBlocking.columns(of: columns, steps: steps, threads: threadPool.threads)
    let rank = terms.map { $0.adapter?.a.shape[0] ?? 0 }.max() ?? 0
    let panelFloats = max(32, 2 * rank) * size
    let (storage, memory) = scratch(
      floats: size / 32 * steps * QLORA_STEP_ELEMENTS / 2 + panelFloats + TokenStrips.rows * size)
    threadPool.run((columns + size - 1) / size) { item, worker in
      let range = item * size..<min((item + 1) * size, columns)
      let panels = memory(worker)
      let sums = panels + panelFloats
      let packed = UnsafeMutableRawPointer(sums + TokenStrips.rows * size)
        .assumingMemoryBound(to: UInt16.self)
      backpropagate(
        terms, columns: range, into: output, accumulating: accumulating,
        MatrixScratch(panels: panels, sums: sums, columns: packed), kernels)
    }
    withExtendedLifetime(storage) {}
  }

  /// One block of columns for all tokens.
  private func backpropagate(
    _ terms: [MatrixGradientTerm], columns: Range<Int>, into output: Tensor, accumulating: Bool,
    _ scratch: MatrixScratch, _ kernels: qlora_matrix_kernels
  ) {
    let blocks = (columns.count + 31) / 32
    var place = scratch.columns
    var stretches: [(strips: TokenStrips, columns: UnsafePointer<UInt16>)] = []
    stretches.reserveCapacity(2 * terms.count)
    for term in terms {
      packColumns(term.weight, columns: columns, into: place, panels: scratch.panels, kernels)
      stretches.append((term.gradient, UnsafePointer(place)))
      place += blocks * term.gradient.steps * QLORA_STEP_ELEMENTS
      if term.joinsBranch, let adapter = term.adapter, let low = term.low {
        packInputs(adapter.a, columns: columns, into: place, rows: scratch.panels, kernels)
        stretches.append((low, UnsafePointer(place)))
        place += blocks * low.steps * QLORA_STEP_ELEMENTS
      }
    }
    guard let strips = stretches.first?.strips else { return }
    withUnsafeTemporaryAllocation(of: qlora_matrix_part.self, capacity: stretches.count) { parts in
      for strip in 0..<strips.count {
        for (index, stretch) in stretches.enumerated() {
          parts[index] = stretch.strips.part(strip, columns: stretch.columns)
        }
        kernels.product(
          stretches.count, parts.baseAddress, blocks, scratch.sums, 32 * blocks, 0)
        store(
          scratch.sums, stride: 32 * blocks, tokens: strips.tokens(in: strip), into: output,
          token: strip * TokenStrips.rows, columns: columns, accumulating: accumulating, kernels)
      }
    }
  }

  /// Columns `columns` of A as columns, the reduction along the rank: A as rounded, then the rest.
  private func packInputs(
    _ a: Tensor, columns: Range<Int>, into output: UnsafeMutablePointer<UInt16>,
    rows: UnsafeMutablePointer<Float>, _ kernels: qlora_matrix_kernels
  ) {
    let (rank, width, count) = (a.shape[0], a.shape[1], columns.count)
    for row in 0..<rank {
      let values = a.pointer(Float.self) + row * width + columns.lowerBound
      (rows + row * count).update(from: values, count: count)
      kernels.residual(count, values, rows + (rank + row) * count)
    }
    packTransposed(
      rows, count: 2 * rank, stride: count, columns: 0..<count, into: output, kernels)
  }

  /// The branch behind a dropout: `mask(low·A)` is added to the finished gradient.
  private func backpropagateDropped(
    _ term: MatrixGradientTerm, into output: Tensor, _ kernels: qlora_matrix_kernels
  ) {
    guard let adapter = term.adapter, let mask = adapter.dropout, let low = term.low else { return }
    let (rank, width) = (adapter.a.shape[0], output.shape[1])
    let branch = allocate(output.shape, .float32)
    let size = MatrixBlocking.columns(of: width, steps: low.steps, threads: threadPool.threads)
    let packed = size / 32 * low.steps * QLORA_STEP_ELEMENTS
    let (storage, memory) = scratch(
      floats: packed / 2 + 2 * rank * size + TokenStrips.rows * size)
    threadPool.run((width + size - 1) / size) { item, worker in
      let range = item * size..<min((item + 1) * size, width)
      let blocks = (range.count + 31) / 32
      let rows = memory(worker)
      let sums = rows + 2 * rank * size
      let columns = UnsafeMutableRawPointer(sums + TokenStrips.rows * size)
        .assumingMemoryBound(to: UInt16.self)
      packInputs(adapter.a, columns: range, into: columns, rows: rows, kernels)
      for strip in 0..<low.count {
        var part = low.part(strip, columns: columns)
        kernels.product(1, &part, blocks, sums, 32 * blocks, 0)
        store(
          sums, stride: 32 * blocks, tokens: low.tokens(in: strip), into: branch,
          token: strip * TokenStrips.rows, columns: range, kernels)
      }
    }
    withExtendedLifetime(storage) {}
    addDropped(branch, mask, to: output)
  }

  /// `output += mask(branch)`; `branch` is used up.
  private func addDropped(_ branch: Tensor, _ mask: DropoutMask, to output: Tensor) {
    let width = output.shape[1]
    let (values, gradient) = (branch.pointer(Float.self), output.pointer(Float.self))
    let kernels = product
    runRows(output.shape[0], width: width) { rows in
      let (first, count) = (rows.lowerBound * width, rows.count * width)
      kernels.dropout(
        count, UInt64(first), mask.rate, mask.key, mask.stream, values + first, values + first)
      for index in first..<first + count { gradient[index] += values[index] }
    }
  }

  /// What the gradients of all adapters are sums of.
  private func sums(
    of terms: [LinearGradientTerm], _ prepared: [MatrixGradientTerm], _ input: Tensor,
    _ kernels: qlora_matrix_kernels
  ) -> [MatrixTokenSum] {
    var sums: [MatrixTokenSum] = []
    sums.reserveCapacity(2 * terms.count)
    // One packing of the input serves all adapters that see it whole.
    var shared: TokenColumns?
    for (term, prepared) in zip(terms, prepared) {
      guard let adapter = term.adapter, let low = prepared.lowValues else { continue }
      if let gradient = term.aGradient {
        let source: TokenColumns
        if let dropout = adapter.dropout {
          source = columns(of: dropped(input, dropout), kernels)
        } else {
          source = shared ?? columns(of: input, kernels)
          shared = source
        }
        sums.append(
          MatrixTokenSum(
            left: low, scale: 1, right: source, gradient: gradient, isTransposed: false,
            storagePool))
      }
      if let gradient = term.bGradient, let right = prepared.gradientColumns {
        sums.append(
          MatrixTokenSum(
            left: adapter.projected, scale: adapter.scale, right: right, gradient: gradient,
            isTransposed: true, storagePool))
      }
    }
    return sums
  }
}
