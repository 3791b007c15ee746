// Products of one to eight tokens, as in generation: the weights stream once from memory into the
// sums, without a decoded buffer.
import CQLoRAKernels
import QLoRATensor

// SAFETY: as in `CPUBackend+Linear.swift`; items write disjoint groups of rows.
extension CPUBackend {
  /// Groups of 8 rows per work item.
  private static let groupsPerItem = 4

  func linearOfFewTokens(
    _ input: Tensor, _ terms: [LinearTerm], _ weights: [any PanelWeight]
  ) {
    let x = widened(input)
    for term in terms {
      if let adapter = term.adapter { projectFewTokens(x, adapter) }
    }
    var items: [(term: Int, groups: Range<Int>)] = []
    for (index, weight) in weights.enumerated() {
      for first in stride(from: 0, to: weight.groups, by: Self.groupsPerItem) {
        items.append((index, first..<min(first + Self.groupsPerItem, weight.groups)))
      }
    }
    let kernels = product
    let tokens = input.shape[0]
    threadPool.run(items.count) { item in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 64) { sums in
        let (index, groups) = items[item]
        for group in groups {
          let sum = sums.baseAddress!
          weights[index].few(
            group: group, tokens: tokens, x.pointer(Float.self), into: sum, kernels)
          finish(terms[index], group: group, tokens: tokens, sum)
        }
      }
    }
  }

  /// `projected = dropout(x)·Aᵀ` for few tokens.
  private func projectFewTokens(_ x: Tensor, _ adapter: AdapterTerm) {
    let source = adapter.dropout.map { dropped(x, $0) } ?? x
    let (rank, columns, tokens) = (adapter.a.shape[0], adapter.a.shape[1], x.shape[0])
    let kernels = product
    let projected = adapter.projected.pointer(Float.self)
    let (storage, memory) = scratch(floats: columns * 8)
    threadPool.run((rank + 7) / 8) { group, worker in
      let rows = min(8, rank - group * 8)
      kernels.panel_f32(
        rows, columns, adapter.a.pointer(Float.self) + group * 8 * columns, columns,
        memory(worker))
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 64) { sums in
        kernels.few_f32(
          tokens, columns, memory(worker), source.pointer(Float.self), columns, sums.baseAddress)
        for token in 0..<tokens {
          for row in 0..<rows { projected[token * rank + group * 8 + row] = sums[token * 8 + row] }
        }
      }
    }
    withExtendedLifetime(storage) {}
  }

  /// Adds the adapter and the bias to the sums `[tokens][8]` of a group and stores them.
  private func finish(
    _ term: LinearTerm, group: Int, tokens: Int, _ sums: UnsafeMutablePointer<Float>
  ) {
    let outFeatures = term.weight.outFeatures
    let rows = min(8, outFeatures - group * 8)
    if let adapter = term.adapter {
      let rank = adapter.b.shape[1]
      let b = adapter.b.pointer(Float.self) + group * 8 * rank
      let projected = adapter.projected.pointer(Float.self)
      for token in 0..<tokens {
        for row in 0..<rows {
          var sum: Float = 0
          for index in 0..<rank { sum += b[row * rank + index] * projected[token * rank + index] }
          sums[token * 8 + row] += adapter.scale * sum
        }
      }
    }
    let bias = term.bias?.pointer(Float.self)
    for token in 0..<tokens {
      for row in 0..<rows {
        let value = sums[token * 8 + row] + (bias?[group * 8 + row] ?? 0)
        let place = token * outFeatures + group * 8 + row
        if term.output.dtype == .float32 {
          term.output.pointer(Float.self)[place] = value
        } else {
          term.output.pointer(UInt16.self)[place] = value.bfloat16Bits
        }
      }
    }
  }
}
