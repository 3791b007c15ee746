// Products with weights: `output = x·Wᵀ + bias + scale·(x·Aᵀ)·Bᵀ`. For many rows the weight is
// decoded with B's columns behind its own, the input gets x·Aᵀ behind its own, and one product by
// cuBLASLt gives the sum. Few rows go another way.
import CQLoRACUDA
import QLoRATensor

/// An input with what adapters add to the reduction behind its columns.
private struct WideInput {
  /// `[tokens, width]`, the input first: the input itself where there are no adapters.
  let memory: Tensor
  /// Where `memory` lies, which lives as long.
  let matrix: DeviceMatrix
  /// Columns in all: a multiple of 8, as cuBLASLt's fastest kernels want it.
  let width: Int
}

extension CUDABackend {
  package func linear(_ input: Tensor, _ terms: [LinearTerm]) {
    let tokens = input.shape[0]
    if tokens == 0 || terms.isEmpty { return }
    let few = terms.filter { servesFew(tokens, $0) }
    linearOfFew(input, few)
    let many = terms.filter { !servesFew(tokens, $0) }
    if many.isEmpty { return }
    // Half precision is a type of storage: products know float32 and bfloat16.
    let input = input.dtype == .float16 ? widened(input) : input
    let weights = many.map { deviceWeight($0.weight) }
    let branches = AdapterBranches(many.map(\.adapter))
    let wide = widen(input, branches)
    for (index, term) in many.enumerated() {
      multiply(wide, term, weights[index], column: branches.column(ofTerm: index))
    }
  }

  /// The products' type for an input's.
  func productType(_ input: Tensor) -> DType {
    input.dtype == .bfloat16 ? .bfloat16 : .float32
  }

  // MARK: Many rows

  /// Puts what the adapters project behind the input.
  private func widen(_ input: Tensor, _ branches: AdapterBranches) -> WideInput {
    let (tokens, columns, dtype) = (input.shape[0], input.shape[1], productType(input))
    if branches.rank == 0 {
      return WideInput(memory: input, matrix: matrix(input), width: columns)
    }
    let used = columns + branches.rank
    let width = (used + 7) / 8 * 8
    let memory = allocate([tokens, width], dtype)
    let stack = allocate([branches.rank, columns], dtype)
    defer { withExtendedLifetime(stack) {} }
    let (wide, factors) = (writable(memory), writable(stack))
    copy(
      [
        MatrixCopy(from: matrix(input), to: wide, rows: tokens, columns: columns),
        MatrixCopy(to: wide.columns(from: used), rows: tokens, columns: width - used),
      ]
        + branches.all.map { branch in
          MatrixCopy(
            from: matrix(branch.adapter.a), to: factors.rows(from: branch.column),
            rows: branch.rank, columns: columns)
        })
    project(input, branches, factors, into: wide.columns(from: columns))
    return WideInput(memory: memory, matrix: wide, width: width)
  }

  /// `dropout(x)·Aᵀ` of all adapters side by side, in float32 for each and rounded into `target`.
  private func project(
    _ input: Tensor, _ branches: AdapterBranches, _ factors: DeviceMatrix,
    into target: DeviceMatrix
  ) {
    let (tokens, columns) = (input.shape[0], input.shape[1])
    var (copies, products): ([MatrixCopy], [Tensor]) = ([], [])
    // Their memory is read when the copies are enqueued.
    defer { withExtendedLifetime(products) {} }
    for group in branches.groups {
      let source = group.dropout.map { dropped(input, $0) } ?? input
      let product =
        group.branches.count == 1
        ? group.branches[0].adapter.projected : allocate([tokens, group.rank], .float32)
      let sums = writable(product)
      self.products.multiply(
        matrix(source), factors.rows(from: group.column).across, into: sums, rows: tokens,
        columns: group.rank, depth: columns)
      copies.append(
        MatrixCopy(
          from: sums, to: target.columns(from: group.column), rows: tokens, columns: group.rank))
      products.append(product)
      if group.branches.count == 1 { continue }
      copies += group.branches.map { branch in
        MatrixCopy(
          from: sums.columns(from: branch.column - group.column),
          to: writable(branch.adapter.projected), rows: tokens, columns: branch.rank)
      }
    }
    copy(copies)
  }

  /// `mask(x)` in the input's type.
  func dropped(_ input: Tensor, _ mask: DropoutMask) -> Tensor {
    let output = allocate(input.shape, input.dtype)
    dropout(input, mask, into: output, accumulating: false)
    return output
  }

  /// `output = mask(x)`, or that added to it.
  func dropout(_ input: Tensor, _ mask: DropoutMask, into output: Tensor, accumulating: Bool) {
    launch(
      "qlora_dropout", over: (input.count + 3) / 4,
      [
        read(input), input.dtype.element, write(output), output.dtype.element, input.count,
        mask.rate, mask.key, mask.stream, Int32(accumulating ? 1 : 0),
      ])
  }

  /// The tensor in a type: itself if it is so already.
  func converted(_ tensor: Tensor, _ dtype: DType) -> Tensor {
    if tensor.dtype == dtype { return tensor }
    let output = allocate(tensor.shape, dtype)
    convert(tensor, into: output)
    return output
  }

  /// - Parameter column: where the term's adapter begins behind the input.
  private func multiply(
    _ input: WideInput, _ term: LinearTerm, _ weight: CUDAWeight, column: Int
  ) {
    let (tokens, rows) = (term.output.shape[0], weight.outFeatures)
    var scratch: Tensor?
    // What `right` lies in.
    defer { withExtendedLifetime(scratch) {} }
    let right =
      input.width == weight.inFeatures
      ? whole(weight, input.matrix.dtype, scratch: &scratch)
      : joined(weight, term.adapter, input, column: column, scratch: &scratch)
    // cuBLASLt stores the input's type or float32; a bias is added before anything is rounded.
    let isDirect =
      term.bias == nil && (term.output.dtype == .float32 || term.output.dtype == right.dtype)
    let product = isDirect ? term.output : allocate(term.output.shape, .float32)
    products.multiply(
      input.matrix, right.across, into: writable(product), rows: tokens, columns: rows,
      depth: input.width)
    if isDirect { return }
    guard let bias = term.bias else { return convert(product, into: term.output) }
    launch(
      "qlora_add_bias", overPiecesOf: rows, rows: tokens,
      [
        read(product), read(bias), write(term.output), term.output.dtype.element, tokens, rows,
      ])
  }

  /// `[W | 0 | scale·B | 0]`, as wide as the input.
  private func joined(
    _ weight: CUDAWeight, _ adapter: AdapterTerm?, _ input: WideInput, column: Int,
    scratch: inout Tensor?
  ) -> DeviceMatrix {
    let (rows, columns) = (weight.outFeatures, weight.inFeatures)
    let memory = allocate([rows, input.width], input.matrix.dtype)
    scratch = memory
    let target = writable(memory)
    decode(weight, rows: 0..<rows, into: target)
    let rank = adapter?.b.shape[1] ?? 0
    let (first, end) = (columns + column, columns + column + rank)
    copy([
      MatrixCopy(to: target.columns(from: columns), rows: rows, columns: column),
      MatrixCopy(
        from: adapter.map { matrix($0.b) }, to: target.columns(from: first), rows: rows,
        columns: rank, factor: adapter?.scale ?? 1),
      MatrixCopy(to: target.columns(from: end), rows: rows, columns: input.width - end),
    ])
    return target
  }
}
