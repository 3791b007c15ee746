// Products with weights: `output = x·Wᵀ + bias + scale·(x·Aᵀ)·Bᵀ`. For many rows the weight is
// decoded with B's columns behind its own, the input gets x·Aᵀ behind its own, and one product by
// cuBLASLt gives the sum. Few rows go another way.
import CQLoRACUDA
import QLoRATensor

/// An input with room behind its columns for what adapters add to the reduction.
struct WideInput {
  /// `[tokens, width]`, the input first; nil where the input itself serves.
  let memory: Tensor?
  let matrix: DeviceMatrix
  /// Columns in all: a multiple of 8, as cuBLASLt's fastest kernels want it.
  let width: Int
  /// Where each term's columns begin.
  let places: [Int]
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
    let wide = widen(input, many)
    for (index, term) in many.enumerated() {
      multiply(wide, term, weights[index], place: wide.places[index])
    }
  }

  /// The products' type for an input's.
  func productType(_ input: Tensor) -> DType { input.dtype == .bfloat16 ? .bfloat16 : .float32 }

  // MARK: Many rows

  /// Projects the input for every adapter, and puts the results behind it.
  private func widen(_ input: Tensor, _ terms: [LinearTerm]) -> WideInput {
    let (tokens, columns, dtype) = (input.shape[0], input.shape[1], productType(input))
    let ranks = terms.map { $0.adapter?.b.shape[1] ?? 0 }
    let places = ranks.indices.map { columns + ranks[..<$0].reduce(0, +) }
    let used = columns + ranks.reduce(0, +)
    if used == columns {
      return WideInput(memory: input, matrix: matrix(input), width: columns, places: places)
    }
    let width = (used + 7) / 8 * 8
    let memory = allocate([tokens, width], dtype)
    let target = writable(memory)
    copy(matrix(input), to: target, rows: tokens, columns: columns)
    copy(nil, to: target.columns(from: used), rows: tokens, columns: width - used)
    for (index, term) in terms.enumerated() {
      guard let adapter = term.adapter else { continue }
      project(input, adapter, dtype)
      copy(
        matrix(adapter.projected), to: target.columns(from: places[index]), rows: tokens,
        columns: ranks[index])
    }
    return WideInput(memory: memory, matrix: target, width: width, places: places)
  }

  /// `projected = dropout(x)·Aᵀ`.
  private func project(_ input: Tensor, _ adapter: AdapterTerm, _ dtype: DType) {
    let (rank, columns) = (adapter.a.shape[0], adapter.a.shape[1])
    let source = adapter.dropout.map { dropped(input, $0) } ?? input
    let a = converted(adapter.a, dtype)
    products.multiply(
      matrix(source), matrix(a).across, into: writable(adapter.projected), rows: input.shape[0],
      columns: rank, depth: columns)
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

  private func multiply(
    _ input: WideInput, _ term: LinearTerm, _ weight: CUDAWeight, place: Int
  ) {
    let (tokens, rows) = (term.output.shape[0], weight.outFeatures)
    var scratch: Tensor?
    let right =
      input.width == weight.inFeatures
      ? whole(weight, input.matrix.dtype, scratch: &scratch)
      : widened(weight, term.adapter, input, place: place, scratch: &scratch)
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
  private func widened(
    _ weight: CUDAWeight, _ adapter: AdapterTerm?, _ input: WideInput, place: Int,
    scratch: inout Tensor?
  ) -> DeviceMatrix {
    let (rows, columns) = (weight.outFeatures, weight.inFeatures)
    let memory = allocate([rows, input.width], input.matrix.dtype)
    scratch = memory
    let target = writable(memory)
    decode(weight, rows: 0..<rows, into: target)
    copy(nil, to: target.columns(from: columns), rows: rows, columns: input.width - columns)
    if let adapter {
      copy(
        matrix(adapter.b), to: target.columns(from: place), rows: rows,
        columns: adapter.b.shape[1], factor: adapter.scale)
    }
    return target
  }

  /// Enqueues a kernel with a warp for each item, four to a block.
  func launchWarps(_ kernel: String, _ items: Int, _ arguments: [any KernelArgument]) {
    kernels.launch(kernel, grid: ((items + 3) / 4, 1, 1), threads: 128, arguments)
  }
}
