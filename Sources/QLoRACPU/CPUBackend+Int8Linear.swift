// `linear` in inference with 8-bit weights: exact integer sums, to which the columns of outliers
// and the low-rank branch are added in fp32.
import CQLoRAKernels
import QLoRATensor

/// One term as the loops want it.
private struct Int8Term {
  let weight: Int8Weight
  let term: LinearTerm
  let tokens: Int8Tokens
  /// The type that products with outliers round to.
  let dtype: DType
}

/// What a worker writes on the way.
private struct Int8Scratch {
  /// Tokens of one visit: a multiple of what the kernels take, and small beside L1.
  static let tokens = 96
  static let rows = Int8Weight.bandRows

  let sums: UnsafeMutablePointer<Int32>
  /// `[tokens][32]`.
  let values: UnsafeMutablePointer<Float>
  let bias: UnsafeMutablePointer<Float>
  /// `[8][8]`.
  let products: UnsafeMutablePointer<Float>
  /// A group's columns of outliers, or of B.
  let panel: UnsafeMutablePointer<Float>

  init(_ memory: UnsafeMutablePointer<Float>) {
    sums = UnsafeMutableRawPointer(memory).assumingMemoryBound(to: Int32.self)
    values = memory + Self.tokens * Self.rows
    bias = values + Self.tokens * Self.rows
    products = bias + Self.rows
    panel = products + 64
  }

  static func floats(depth: Int) -> Int { 2 * tokens * rows + rows + 64 + 8 * depth }
}

// SAFETY: pointers lie inside tensors, weights and scratch whose sizes the shapes give; items write
// disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension CPUBackend {
  /// 1/127², as bitsandbytes' CPU path spells it.
  private static let int8Unit: Float = 6.200124e-05
  private static let int8ItemsPerThread = 4

  /// Whether the product splits its activations into 8 bits and outliers.
  func isMixed(_ term: LinearTerm) -> Bool {
    term.isInference && panelWeight(term.weight) is Int8Weight
  }

  /// - Parameter terms: of which all are mixed.
  func linearByInt8(_ input: Tensor, _ terms: [LinearTerm]) {
    let x = widened(input)
    projectFewTokens(x, terms.compactMap(\.adapter))
    var split: [Float: Int8Tokens] = [:]
    let prepared: [Int8Term] = terms.compactMap { term in
      guard let weight = panelWeight(term.weight) as? Int8Weight else { return nil }
      let threshold = weight.specification.threshold
      let tokens = split[threshold] ?? Int8Tokens(x, threshold: threshold, self)
      split[threshold] = tokens
      return Int8Term(weight: weight, term: term, tokens: tokens, dtype: input.dtype)
    }
    let bands = prepared.reduce(0) { $0 + $1.weight.bands }
    let chunks = (x.shape[0] + Int8Scratch.tokens - 1) / Int8Scratch.tokens
    let wanted = threadPool.threads * Self.int8ItemsPerThread
    let parts = min(chunks, max(1, wanted / max(1, bands)))
    var items: [(term: Int, band: Int, chunks: Range<Int>)] = []
    for (index, term) in prepared.enumerated() {
      for band in 0..<term.weight.bands {
        for part in 0..<parts {
          items.append((index, band, part * chunks / parts..<(part + 1) * chunks / parts))
        }
      }
    }
    let depths = prepared.map { max($0.tokens.outliers.count, $0.term.adapter?.b.shape[1] ?? 0) }
    let (storage, memory) = scratch(floats: Int8Scratch.floats(depth: depths.max() ?? 0))
    threadPool.run(items.count) { index, worker in
      let item = items[index]
      let scratch = Int8Scratch(memory(worker))
      for chunk in item.chunks {
        let first = chunk * Int8Scratch.tokens
        multiply(
          prepared[item.term], band: item.band,
          tokens: first..<min(first + Int8Scratch.tokens, x.shape[0]), scratch)
      }
    }
    withExtendedLifetime((storage, x, split)) {}
  }

  /// One band of outputs for some tokens.
  private func multiply(
    _ term: Int8Term, band: Int, tokens: Range<Int>, _ scratch: Int8Scratch
  ) {
    let (weight, input) = (term.weight, term.tokens)
    let rows = band * Int8Scratch.rows..<min((band + 1) * Int8Scratch.rows, weight.outFeatures)
    let bytes = input.codes.baseAddress.assumingMemoryBound(to: UInt8.self)
    let scales = input.scales.baseAddress.assumingMemoryBound(to: Float.self)
    int8.product(
      tokens.count, weight.fours, bytes + tokens.lowerBound * input.stride, input.stride,
      weight.band(band), weight.corrections(band: band), scratch.sums)
    scratch.bias.update(repeating: 0, count: Int8Scratch.rows)
    if let bias = term.term.bias {
      scratch.bias.update(from: bias.pointer(Float.self) + rows.lowerBound, count: rows.count)
    }
    int8.scale(
      tokens.count, scratch.sums, scales + tokens.lowerBound, weight.scales(band: band),
      Self.int8Unit, scratch.bias, scratch.values)
    addOutliers(term, rows: rows, tokens: tokens, scratch)
    addBranch(term, rows: rows, tokens: tokens, scratch)
    let output = term.term.output
    for token in tokens {
      self.rows.convert(
        rows.count, scratch.values + (token - tokens.lowerBound) * Int8Scratch.rows,
        qlora_element_f32, output.address(at: token * weight.outFeatures + rows.lowerBound),
        output.dtype.element)
    }
  }

  /// The columns of outliers, both factors in the type of the activations.
  private func addOutliers(
    _ term: Int8Term, rows: Range<Int>, tokens: Range<Int>, _ scratch: Int8Scratch
  ) {
    let outliers = term.tokens.outliers
    if outliers.isEmpty { return }
    if term.dtype != .float32 {
      round(scratch.values, count: tokens.count * Int8Scratch.rows, to: term.dtype)
    }
    let values = term.tokens.outlierValues.baseAddress.assumingMemoryBound(to: Float.self)
    let scales = term.weight.scales(band: 0)
    for group in stride(from: rows.lowerBound, to: rows.upperBound, by: 8) {
      for (index, column) in outliers.enumerated() {
        let four = column / 4 * Int8Weight.bandRows * 4 + column % 4
        for row in group..<group + 8 {
          scratch.panel[index * 8 + row - group] =
            Float(term.weight.fours(row: row)[four]) * scales[row] * Int8Weight.unit
        }
      }
      if term.dtype != .float32 { round(scratch.panel, count: outliers.count * 8, to: term.dtype) }
      add(
        depth: outliers.count, values, scale: 1, tokens: tokens, column: group - rows.lowerBound,
        scratch)
    }
  }

  private func addBranch(
    _ term: Int8Term, rows: Range<Int>, tokens: Range<Int>, _ scratch: Int8Scratch
  ) {
    guard let adapter = term.term.adapter else { return }
    let rank = adapter.b.shape[1]
    let b = adapter.b.pointer(Float.self)
    for group in stride(from: rows.lowerBound, to: rows.upperBound, by: 8) {
      let count = min(8, rows.upperBound - group)
      product.panel_f32(count, rank, b + group * rank, rank, scratch.panel)
      add(
        depth: rank, adapter.projected.pointer(Float.self), scale: adapter.scale, tokens: tokens,
        column: group - rows.lowerBound, scratch)
    }
  }

  /// Adds `scale · x [tokens][depth] · panel [depth][8]` to eight columns of the values.
  private func add(
    depth: Int, _ x: UnsafePointer<Float>, scale: Float, tokens: Range<Int>, column: Int,
    _ scratch: Int8Scratch
  ) {
    let few = Int(QLORA_SMALL_TOKENS)
    for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: few) {
      let count = min(few, tokens.upperBound - first)
      product.few_f32(count, depth, scratch.panel, x + first * depth, depth, scratch.products)
      for token in 0..<count {
        let place =
          scratch.values + (first + token - tokens.lowerBound) * Int8Scratch.rows + column
        for row in 0..<8 { place[row] += scale * scratch.products[token * 8 + row] }
      }
    }
  }

  /// Rounds to a narrower type, in place.
  private func round(_ values: UnsafeMutablePointer<Float>, count: Int, to dtype: DType) {
    withUnsafeTemporaryAllocation(of: UInt16.self, capacity: count) { narrow in
      guard let narrow = narrow.baseAddress else { return }
      rows.convert(count, values, qlora_element_f32, narrow, dtype.element)
      rows.convert(count, narrow, dtype.element, values, qlora_element_f32)
    }
  }
}
