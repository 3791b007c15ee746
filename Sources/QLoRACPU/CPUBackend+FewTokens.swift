// Products of one to eight tokens, as in generation: the weights stream once from memory into the
// sums, without a decoded buffer.
import CQLoRAKernels
import QLoRATensor

/// One term as the loops want it: nothing left to look up.
private struct FewTokensTerm {
  let weight: any PanelWeight
  let outFeatures: Int
  let output: UnsafeMutableRawPointer
  let isFloat: Bool
  let bias: UnsafePointer<Float>?
  let rank: Int
  let scale: Float
  /// `[out, rank]` and `[tokens, rank]`; nil without an adapter.
  let b: UnsafePointer<Float>?
  let projected: UnsafePointer<Float>?

  init(_ term: LinearTerm, _ weight: any PanelWeight) {
    self.weight = weight
    outFeatures = weight.outFeatures
    output = term.output.address
    isFloat = term.output.dtype == .float32
    bias = term.bias.map { UnsafePointer($0.pointer(Float.self)) }
    rank = term.adapter?.b.shape[1] ?? 0
    scale = term.adapter?.scale ?? 0
    b = term.adapter.map { UnsafePointer($0.b.pointer(Float.self)) }
    projected = term.adapter.map { UnsafePointer($0.projected.pointer(Float.self)) }
  }
}

// SAFETY: as in `CPUBackend+Linear.swift`; items write disjoint groups of rows, and the terms'
// tensors outlive the call.
extension CPUBackend {
  /// Groups of 8 rows per work item.
  private static let groupsPerItem = 4

  func linearOfFewTokens(
    _ input: Tensor, _ terms: [LinearTerm], _ weights: [any PanelWeight]
  ) {
    let x = widened(input)
    projectFewTokens(x, terms.compactMap(\.adapter))
    let prepared = zip(terms, weights).map { FewTokensTerm($0, $1) }
    var items: [(term: Int, groups: Range<Int>)] = []
    for (index, weight) in weights.enumerated() {
      for first in stride(from: 0, to: weight.groups, by: Self.groupsPerItem) {
        items.append((index, first..<min(first + Self.groupsPerItem, weight.groups)))
      }
    }
    let tokens = input.shape[0]
    let values = UnsafePointer(x.pointer(Float.self))
    // Sums of an item, then a group of B in panels and its own sums.
    let ranks = prepared.map(\.rank).max() ?? 0
    let (storage, memory) = scratch(floats: 64 * (Self.groupsPerItem + 1) + 8 * ranks)
    threadPool.run(items.count) { index, worker in
      let item = items[index]
      let term = prepared[item.term]
      let sums = memory(worker)
      term.weight.few(groups: item.groups, tokens: tokens, values, into: sums, product)
      for group in item.groups {
        finish(
          term, group: group, tokens: tokens, sums + (group - item.groups.lowerBound) * tokens * 8,
          scratch: sums + 64 * Self.groupsPerItem)
      }
    }
    withExtendedLifetime((storage, x)) {}
  }

  /// `projected = dropout(x)·Aᵀ` of all adapters, a few tokens at a time.
  func projectFewTokens(_ x: Tensor, _ adapters: [AdapterTerm]) {
    if adapters.isEmpty { return }
    let sources = adapters.map { adapter in adapter.dropout.map { dropped(x, $0) } ?? x }
    let (columns, tokens) = (x.shape[1], x.shape[0])
    var items: [(adapter: Int, group: Int)] = []
    for (index, adapter) in adapters.enumerated() {
      for group in 0..<(adapter.a.shape[0] + 7) / 8 { items.append((index, group)) }
    }
    let (kernels, few) = (product, Int(QLORA_SMALL_TOKENS))
    let (storage, memory) = scratch(floats: columns * 8 + 64)
    threadPool.run(items.count) { index, worker in
      let (place, group) = items[index]
      let a = adapters[place].a
      let rank = a.shape[0]
      let rows = min(8, rank - group * 8)
      let sums = memory(worker)
      kernels.panel_f32(
        rows, columns, a.pointer(Float.self) + group * 8 * columns, columns, sums + 64)
      let source = sources[place].pointer(Float.self)
      for first in stride(from: 0, to: tokens, by: few) {
        let count = min(few, tokens - first)
        kernels.few_f32(count, columns, sums + 64, source + first * columns, columns, sums)
        let projected = adapters[place].projected.pointer(Float.self) + first * rank + group * 8
        for token in 0..<count {
          (projected + token * rank).update(from: sums + token * 8, count: rows)
        }
      }
    }
    withExtendedLifetime(storage) {}
  }

  /// Adds the adapter and the bias to the sums `[tokens][8]` of a group and stores them.
  private func finish(
    _ term: FewTokensTerm, group: Int, tokens: Int, _ sums: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutablePointer<Float>
  ) {
    let rows = min(8, term.outFeatures - group * 8)
    if let b = term.b, let projected = term.projected {
      let rank = term.rank
      let panel = scratch + 64
      product.panel_f32(rows, rank, b + group * 8 * rank, rank, panel)
      product.few_f32(tokens, rank, panel, projected, rank, scratch)
      for index in 0..<tokens * 8 { sums[index] += term.scale * scratch[index] }
    }
    if let bias = term.bias {
      for token in 0..<tokens {
        for row in 0..<rows { sums[token * 8 + row] += bias[group * 8 + row] }
      }
    }
    let type = term.isFloat ? qlora_element_f32 : qlora_element_bf16
    for token in 0..<tokens {
      let place = (token * term.outFeatures + group * 8) * (term.isFloat ? 4 : 2)
      self.rows.convert(rows, sums + token * 8, qlora_element_f32, term.output + place, type)
    }
  }
}
