// Cases of products with weights, forward and backward.
import QLoRATensor

/// What a product is of.
private struct ProductCase {
  var tokens: Int
  var outFeatures = 40
  var inFeatures = 64
  var storage = WeightStorage.fourBit(QuantizationSpec())
  var dtype = DType.float32
  var rank = 0
  var hasBias = false
  var dropout: DropoutMask?

  var name: String {
    "\(tokens) tokens \(outFeatures)x\(inFeatures) \(dtype) rank \(rank)"
      + (hasBias ? " bias" : "") + (dropout == nil ? "" : " dropout") + " \(storage)"
  }

  /// float32: sums in another order. bf16: factors are rounded on the way, where the reference
  /// rounds results only; each contributes half a unit, and so do the adapter's and the result.
  static func tolerance(_ dtype: DType) -> Double {
    switch dtype {
    case .bfloat16: 4 * rounding(.bfloat16)
    case .float16: 2 * rounding(.float16)
    default: 5e-6
    }
  }

  var tolerance: Double { Self.tolerance(dtype) }
}

extension BackendCase {
  /// Few tokens and many, on both sides of the border between their kernels.
  private static var plainProducts: [ProductCase] {
    [1, 3, 4, 5, 16, 17, 50].flatMap { tokens in
      [DType.float32, .bfloat16].flatMap { dtype in
        [
          ProductCase(tokens: tokens, dtype: dtype),
          ProductCase(tokens: tokens, dtype: dtype, rank: 6, hasBias: true),
        ]
      }
    }
  }

  private static var storedProducts: [ProductCase] {
    storages.flatMap { storage in
      [
        ProductCase(tokens: 2, outFeatures: 37, inFeatures: 61, storage: storage, rank: 3),
        ProductCase(tokens: 2, storage: storage, rank: 3),
        ProductCase(tokens: 20, outFeatures: 37, inFeatures: 61, storage: storage, rank: 3),
        ProductCase(tokens: 20, storage: storage, dtype: .bfloat16, rank: 8),
      ]
    }
  }

  private static var otherProducts: [ProductCase] {
    [5, 30].flatMap { tokens in
      [
        ProductCase(tokens: tokens, rank: 4, dropout: mask(42)),
        ProductCase(tokens: tokens, dtype: .bfloat16, rank: 4, dropout: mask(42)),
        ProductCase(tokens: tokens, dtype: .float16, rank: 4, hasBias: true),
      ]
    }
  }

  private static let productCases = plainProducts + storedProducts + otherProducts

  static let products: [BackendCase] =
    productCases.map { product in
      BackendCase("linear \(product.name)", tolerance: product.tolerance) { backend in
        try forward(product, backend)
      }
    } + [false, true].map(several)

  private static func forward(
    _ product: ProductCase, _ backend: any Backend
  ) throws -> [Tensor] {
    let (tokens, rows, columns) = (product.tokens, product.outFeatures, product.inFeatures)
    let input = backend.seeded([tokens, columns], product.dtype, seed: 21)
    let adapter =
      product.rank > 0
      ? backend.seededAdapter(
        rank: product.rank, rows, columns, tokens: tokens, dropout: product.dropout) : nil
    let output = backend.blank([tokens, rows], product.dtype)
    backend.linear(
      input,
      [
        LinearTerm(
          weight: try backend.seededWeight(rows, columns, product.storage),
          bias: product.hasBias ? backend.seeded([rows], seed: 22) : nil, adapter: adapter,
          output: output)
      ])
    return [output] + (adapter.map { [$0.projected] } ?? [])
  }

  /// Terms of different ranks, kinds and output types that share an input.
  private static func several(hasDropout: Bool) -> BackendCase {
    BackendCase("linear of several terms, dropout \(hasDropout)", tolerance: 4.0 / 256) {
      backend in
      let input = backend.seeded([33, 64], .bfloat16, seed: 23)
      let kinds: [(WeightStorage, Int, DType)] = [
        (.fourBit(QuantizationSpec()), 8, .bfloat16), (.dense(.bfloat16), 0, .bfloat16),
        (.int8(Int8Spec()), 5, .float32), (.dense(.bfloat16), 3, .bfloat16),
      ]
      let terms = try kinds.enumerated().map { index, kind in
        let dropout = hasDropout && index > 0 ? mask(UInt64(index)) : nil
        return LinearTerm(
          weight: try backend.seededWeight(24 + index, 64, kind.0, seed: UInt64(30 + index)),
          adapter: kind.1 > 0
            ? backend.seededAdapter(
              rank: kind.1, 24 + index, 64, tokens: 33, dropout: dropout, seed: UInt64(index))
            : nil, output: backend.blank([33, 24 + index], kind.2))
      }
      backend.linear(input, terms)
      return terms.map(\.output) + terms.compactMap { $0.adapter?.projected }
    }
  }

  private static func mask(_ stream: UInt64) -> DropoutMask {
    DropoutMask(rate: 0.25, key: 0xDEAD_BEEF_0123_4567, stream: stream)
  }

  // MARK: Backward

  static let gradients: [BackendCase] =
    productCases.filter { $0.rank > 0 }.map { product in
      BackendCase("linear gradients \(product.name)", tolerance: product.tolerance) { backend in
        try backward(product, backend, accumulating: true)
      }
    }
    + [(false, false), (true, false), (true, true)].map { accumulating, hasDropout in
      let name = "linear gradients of several terms, \(accumulating), dropout \(hasDropout)"
      return BackendCase(name, tolerance: 4.0 / 256) {
        try severalGradients($0, accumulating: accumulating, hasDropout: hasDropout)
      }
    } + [
      // More pieces of memory than a launch copies.
      BackendCase("linear gradients of many terms", tolerance: 4.0 / 256) { backend in
        try severalGradients(
          backend, (0..<9).map { (8 + $0, 2 + $0 % 3) }, accumulating: true, hasDropout: false)
      }
    ]

  private static func backward(
    _ product: ProductCase, _ backend: any Backend, accumulating: Bool
  ) throws -> [Tensor] {
    let (tokens, rows, columns) = (product.tokens, product.outFeatures, product.inFeatures)
    let input = backend.seeded([tokens, columns], product.dtype, seed: 21)
    var adapter = backend.seededAdapter(
      rank: product.rank, rows, columns, tokens: tokens, dropout: product.dropout)
    adapter.projected = backend.seeded([tokens, product.rank], seed: 24)
    let term = LinearGradientTerm(
      weight: try backend.seededWeight(rows, columns, product.storage), adapter: adapter,
      aGradient: backend.seeded([product.rank, columns], seed: 25),
      bGradient: backend.seeded([rows, product.rank], seed: 26),
      outputGradient: backend.seeded([tokens, rows], seed: 27))
    let inputGradient = backend.seeded([tokens, columns], seed: 28)
    backend.linearBackward(
      [term], input: input, inputGradient: inputGradient, accumulating: accumulating)
    return [inputGradient] + [term.aGradient, term.bGradient].compactMap { $0 }
  }

  /// Neighbours with adapters and without.
  private static func severalGradients(
    _ backend: any Backend,
    _ shapes: [(Int, Int)] = [(11, 0), (16, 4), (23, 0), (9, 7), (16, 8), (5, 0)],
    accumulating: Bool, hasDropout: Bool
  ) throws -> [Tensor] {
    let input = backend.seeded([21, 48], .bfloat16, seed: 31)
    let terms = try shapes.enumerated().map { index, shape in
      let (rows, rank) = shape
      let dropout = hasDropout && index != 3 ? mask(UInt64(index)) : nil
      return LinearGradientTerm(
        try backwardLinear(backend, rows, rank: rank, dropout, seed: UInt64(index)),
        outputGradient: backend.seeded([21, rows], seed: UInt64(40 + index)))
    }
    let inputGradient = backend.seeded([21, 48], seed: 46)
    backend.linearBackward(
      terms, input: input, inputGradient: inputGradient, accumulating: accumulating)
    return [inputGradient] + terms.map(\.linear).flatMap(\.gradients)
  }

  /// Of 48 columns; without an adapter where the rank is 0.
  private static func backwardLinear(
    _ backend: any Backend, _ rows: Int, rank: Int, _ dropout: DropoutMask?, seed: UInt64
  ) throws -> BackwardLinear {
    let weight = try backend.seededWeight(rows, 48, .dense(.bfloat16), seed: UInt64(rows))
    if rank == 0 { return BackwardLinear(weight: weight) }
    var adapter = backend.seededAdapter(
      rank: rank, rows, 48, tokens: 21, dropout: dropout, seed: seed)
    adapter.projected = backend.seeded([21, rank], seed: 50 + seed)
    return BackwardLinear(
      weight: weight, adapter: adapter, aGradient: backend.seeded([rank, 48], seed: 60 + seed),
      bGradient: backend.seeded([rows, rank], seed: 70 + seed))
  }

  // MARK: Below an activation

  static let activatedGradients: [BackendCase] =
    [DType.float32, .bfloat16, .float16].flatMap { dtype in
      // Widths that begin at whole words, beside those that do not.
      [16, 27].flatMap { rows in
        [activated(.silu, dtype, rows, ranks: [4, 7]), activated(.gelu, dtype, rows, ranks: [4])]
      }
    } + [
      activated(.silu, .bfloat16, 24, ranks: [0, 0]),
      activated(.silu, .bfloat16, 24, ranks: [0, 8]),
      activated(.geluTanh, .bfloat16, 24, ranks: [8, 8], hasDropout: true),
    ]

  /// Of gate and up, or of one alone.
  private static func activated(
    _ activation: Activation, _ dtype: DType, _ rows: Int, ranks: [Int], hasDropout: Bool = false
  ) -> BackendCase {
    let name =
      "linear gradients behind \(activation) \(dtype) \(rows) ranks \(ranks), "
      + "dropout \(hasDropout)"
    return BackendCase(name, tolerance: ProductCase.tolerance(dtype)) { backend in
      let input = backend.seeded([21, 48], dtype, seed: 31)
      let inputs = ActivationInputs(
        activation, gate: backend.seeded([21, rows], dtype, seed: 32, scale: 4),
        up: ranks.count > 1 ? backend.seeded([21, rows], dtype, seed: 33) : nil)
      let linears = try ranks.enumerated().map { index, rank in
        try backwardLinear(
          backend, rows, rank: rank, hasDropout ? mask(UInt64(index)) : nil, seed: UInt64(index))
      }
      let inputGradient = backend.seeded([21, 48], seed: 46)
      backend.activatedLinearBackward(
        backend.seeded([21, rows], seed: 34), inputs, linears, input: input,
        inputGradient: inputGradient, accumulating: true)
      return [inputGradient] + linears.flatMap(\.gradients)
    }
  }
}

extension BackwardLinear {
  /// Of its adapter.
  fileprivate var gradients: [Tensor] { [aGradient, bGradient].compactMap { $0 } }
}
