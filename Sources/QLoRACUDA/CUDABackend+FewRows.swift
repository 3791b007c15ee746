// Products with few rows, as in generation: kernels go from weights as they are kept to sums, rows
// of bf16 on the matrix unit. Weights that read the same input share a launch.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  /// Up to so many rows go to the kernels for few.
  static let fewTokens = 16
  /// Rows of a weight that a block has on the matrix unit.
  private static let fewHeight = 16

  func servesFew(_ tokens: Int, _ term: LinearTerm) -> Bool {
    guard tokens <= Self.fewTokens, term.adapter?.dropout == nil else { return false }
    return term.weight.inFeatures % 8 == 0
  }

  func linearOfFew(_ input: Tensor, _ terms: [LinearTerm]) {
    var launch = FewLaunch(input, self)
    for term in terms {
      let weight = deviceWeight(term.weight)
      let kernel = fewKernel(input, weight)
      // What is outside is on the device until the next such weight is asked for.
      let isOutside = weight.parts.contains { $0.storage.mirror is PinnedMemory }
      if isOutside || !launch.takes(kernel) { launch.enqueue() }
      launch.add(term, weight, kernel)
      if isOutside { launch.enqueue() }
    }
    launch.enqueue()
  }

  private func fewKernel(_ input: Tensor, _ weight: CUDAWeight) -> FewKernel {
    let (tokens, columns) = (input.shape[0], input.shape[1])
    let (kind, step): (String, Int) =
      switch weight.content {
      // Blocks of rows of their own, and none that ends within a step.
      case .fourBit(let matrix): ("4bit", matrix.spec.blockSize < 64 ? .max : matrix.spec.blockSize)
      case .int8: ("8bit", 64)
      case .dense(let values): ("dense", values.dtype == .bfloat16 ? 32 : .max)
      }
    if input.dtype == .bfloat16, columns % step == 0 {
      return FewKernel(name: "qlora_few_matrix_\(kind)_\(tokens <= 8 ? 1 : 2)", isMatrix: true)
    }
    let most = tokens == 1 ? 1 : tokens <= 4 ? 4 : Self.fewTokens
    return FewKernel(name: "qlora_few_\(kind)_\(most)", isMatrix: false)
  }

  /// Enqueues the adapters' projections and the products.
  fileprivate func enqueue(_ terms: qlora_cuda_few_terms, of launch: FewLaunch) {
    let rank = launch.terms.map { Int($0.ending.rank) }.max() ?? 0
    let rows = launch.terms.map { Int($0.rows) }.max() ?? 0
    kernels.launch(
      "qlora_few_project", grid: (Int(terms.tokens) * rank, launch.terms.count, 1), threads: 128,
      [terms])
    guard let kernel = launch.kernel else { return }
    if kernel.isMatrix {
      let blocks = (rows + Self.fewHeight - 1) / Self.fewHeight
      kernels.launch(
        kernel.name, grid: (blocks, launch.terms.count, 1), threads: 256, [terms])
    } else {
      kernels.launch(
        kernel.name, grid: ((rows + 3) / 4, launch.terms.count, 1), threads: 128, [terms])
    }
  }
}

/// Which kernel serves a weight.
private struct FewKernel: Equatable {
  let name: String
  let isMatrix: Bool
}

/// Products of one input that are enqueued together.
private struct FewLaunch {
  private let input: Tensor
  private let backend: CUDABackend
  private(set) var kernel: FewKernel?
  private(set) var terms: [qlora_cuda_few_term] = []

  private static let places = [
    \qlora_cuda_few_terms.first, \.second, \.third, \.fourth,
  ]

  init(_ input: Tensor, _ backend: CUDABackend) {
    self.input = input
    self.backend = backend
  }

  /// Whether there is room for one more of this kernel.
  func takes(_ kernel: FewKernel) -> Bool {
    terms.isEmpty || (kernel == self.kernel && terms.count < Self.places.count)
  }

  mutating func add(_ term: LinearTerm, _ weight: CUDAWeight, _ kernel: FewKernel) {
    let read = backend.read
    var argument = qlora_cuda_few_term()
    switch weight.content {
    case .fourBit(let matrix): argument.four_bit = backend.argument(matrix, read)
    case .int8(let matrix, _):
      argument.values = read(matrix.codes)
      argument.scales = read(matrix.scales)
    case .dense(let values):
      argument.values = read(values)
      argument.type = values.dtype.element
    }
    argument.ending.bias = term.bias.map(read) ?? 0
    if let adapter = term.adapter {
      argument.ending.a = read(adapter.a)
      argument.ending.b = read(adapter.b)
      argument.ending.projected = backend.write(adapter.projected)
      argument.ending.scale = adapter.scale
      argument.ending.rank = Int32(adapter.a.shape[0])
    }
    argument.out = backend.write(term.output)
    argument.out_type = term.output.dtype.element
    argument.rows = Int32(weight.outFeatures)
    terms.append(argument)
    self.kernel = kernel
  }

  /// Begins anew afterwards.
  mutating func enqueue() {
    if terms.isEmpty { return }
    var all = qlora_cuda_few_terms()
    for (place, term) in zip(Self.places, terms) { all[keyPath: place] = term }
    all.x = backend.read(input)
    all.x_type = input.dtype.element
    all.tokens = Int32(input.shape[0])
    all.columns = Int32(input.shape[1])
    backend.enqueue(all, of: self)
    terms = []
  }
}
