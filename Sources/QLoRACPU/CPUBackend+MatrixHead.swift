// The output head in products of bf16: one sweep over the vocabulary yields the loss and its
// gradient. No logits are kept: the sum that the gradient needs follows the running maximum, as in
// the attention of Dao et al. 2022, arXiv:2205.14135, with the vocabulary in the place of keys.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension MatrixBlocking {
  /// Tokens whose gradients a work item keeps in the cache, in strips: each item reads all of the
  /// head once.
  static let headStrips = 16

  /// Rows of the vocabulary at a time, both ways of the product side by side in `columnBytes`.
  static func vocabularyRows(hidden: Int) -> Int {
    max(64, min(512, columnBytes / (4 * hidden) / 32 * 32))
  }
}

/// The softmax of every named row, and the sums of its gradient before they are divided.
private struct HeadSweep {
  let hidden: TokenStrips
  /// `[strips · 32]`.
  let states: Storage
  /// `[strips · 32][width]`: Σ exp(logit − largest) · head[v] over all v but the target.
  let sums: Storage?
  /// Columns of the hidden state, rounded up to whole blocks.
  let width: Int

  var state: UnsafeMutablePointer<qlora_softmax_row> {
    states.baseAddress.assumingMemoryBound(to: qlora_softmax_row.self)
  }

  func sum(_ row: Int) -> UnsafeMutablePointer<Float>? {
    sums.map { $0.baseAddress.assumingMemoryBound(to: Float.self) + row * width }
  }

  /// Σ exp(logit − largest) over the whole vocabulary.
  func total(_ row: Int) -> Double {
    state[row].others + exp(Double(state[row].target_logit) - Double(state[row].largest))
  }

  func negativeLogLikelihood(_ row: Int) -> Double {
    log(total(row)) + Double(state[row].largest) - Double(state[row].target_logit)
  }
}

// SAFETY: pointers lie inside tensors, strips and scratch whose sizes the shapes give; items write
// disjoint rows.
extension CPUBackend {
  func linearCrossEntropyByMatrix(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PanelWeight,
    hiddenGradient: Tensor?, _ kernels: qlora_matrix_kernels
  ) -> Double {
    let sweep = sweep(
      hidden, rows, targets, head, wantsGradient: hiddenGradient != nil, kernels)
    if let hiddenGradient {
      hiddenGradient.zero()
      finishGradient(sweep, rows, targets, head, into: hiddenGradient)
    }
    return rows.indices.reduce(0) { $0 + sweep.negativeLogLikelihood($1) }
  }

  func scoreTokensByMatrix(
    _ hidden: Tensor, rows: [Int32], targets: [Int32], head: any PanelWeight,
    _ kernels: qlora_matrix_kernels
  ) -> (negativeLogLikelihoods: [Float], mostLikely: [Int32]) {
    let sweep = sweep(hidden, rows, targets, head, wantsGradient: false, kernels)
    return (
      rows.indices.map { Float(sweep.negativeLogLikelihood($0)) },
      rows.indices.map { sweep.state[$0].winner }
    )
  }

  private func sweep(
    _ hidden: Tensor, _ rows: [Int32], _ targets: [Int32], _ head: any PanelWeight,
    wantsGradient: Bool, _ kernels: qlora_matrix_kernels
  ) -> HeadSweep {
    let strips = strips(of: gather(hidden, rows[...]), kernels)
    let (count, width) = (strips.count * TokenStrips.rows, (hidden.shape[1] + 31) / 32 * 32)
    let sweep = HeadSweep(
      hidden: strips,
      states: storagePool.borrow(count * MemoryLayout<qlora_softmax_row>.stride),
      sums: wantsGradient ? storagePool.borrow(count * width * 4) : nil, width: width)
    for index in 0..<count {
      sweep.state[index] = qlora_softmax_row(
        largest: -.infinity, winner: 0, others: 0,
        target: index < targets.count ? targets[index] : -1, target_logit: 0)
    }
    let size = min(
      MatrixBlocking.headStrips, (strips.count + threadPool.threads - 1) / threadPool.threads)
    let memory = HeadScratch(hidden: hidden.shape[1], width: width)
    let (storage, place) = scratch(floats: memory.floats)
    threadPool.run((strips.count + size - 1) / max(1, size)) { item, worker in
      let range = item * size..<min((item + 1) * size, strips.count)
      for first in stride(from: 0, to: head.outFeatures, by: memory.rows) {
        let vocabulary = first..<min(first + memory.rows, head.outFeatures)
        advance(sweep, strips: range, head, vocabulary, memory, place(worker), kernels)
      }
    }
    withExtendedLifetime(storage) {}
    return sweep
  }

  /// Takes one stretch of the vocabulary into the sweep of some strips.
  private func advance(
    _ sweep: HeadSweep, strips: Range<Int>, _ head: any PanelWeight, _ vocabulary: Range<Int>,
    _ memory: HeadScratch, _ place: UnsafeMutablePointer<Float>, _ kernels: qlora_matrix_kernels
  ) {
    let blocks = (vocabulary.count + 31) / 32
    let (forward, backward) = (memory.forward(place), memory.backward(place))
    pack(
      head, vocabulary, forward: forward, backward: sweep.sums == nil ? nil : backward,
      panels: memory.panels(place), kernels)
    let (logits, weights) = (memory.logits(place), memory.weights(place))
    withUnsafeTemporaryAllocation(of: Float.self, capacity: TokenStrips.rows) { factors in
      for strip in strips {
        let row = strip * TokenStrips.rows
        var part = sweep.hidden.part(strip, columns: forward)
        kernels.product(1, &part, blocks, logits, 32 * blocks, 0)
        let sums = sweep.sum(row)
        kernels.softmax(
          sweep.hidden.tokens(in: strip), vocabulary.count, logits, 32 * blocks,
          vocabulary.lowerBound, sweep.state + row, factors.baseAddress,
          sums == nil ? nil : weights)
        guard let sums else { continue }
        let isFirst = vocabulary.lowerBound == 0
        if !isFirst {
          rescale(sums, width: sweep.width, UnsafeBufferPointer(factors),
                  rows: sweep.hidden.tokens(in: strip))
        }
        part = qlora_matrix_stretch(blocks, weights, backward)
        kernels.product(1, &part, sweep.width / 32, sums, sweep.width, isFirst ? 0 : 1)
      }
    }
  }

  private func rescale(
    _ sums: UnsafeMutablePointer<Float>, width: Int, _ factors: UnsafeBufferPointer<Float>,
    rows: Int
  ) {
    for row in 0..<rows where factors[row] != 1 {
      let place = sums + row * width
      for column in 0..<width { place[column] *= factors[row] }
    }
  }

  /// Rows `vocabulary` of the head as columns of both products: one decoding serves both.
  private func pack(
    _ head: any PanelWeight, _ vocabulary: Range<Int>, forward: UnsafeMutablePointer<UInt16>,
    backward: UnsafeMutablePointer<UInt16>?, panels: UnsafeMutablePointer<Float>,
    _ kernels: qlora_matrix_kernels
  ) {
    let depth = head.inFeatures
    let (steps, half) = (MatrixBlocking.steps(depth), QLORA_STEP_ELEMENTS / 2)
    let blocks = (vocabulary.count + 31) / 32
    let stride = HeadScratch.panelFloats(depth)
    for block in 0..<blocks {
      for index in 0..<4 {
        let group = vocabulary.lowerBound / 8 + 4 * block + index
        let panel = panels + index * stride
        if group < head.groups {
          head.decode(group: group, columns: 0..<depth, into: panel, product)
          (panel + 8 * depth).update(repeating: 0, count: stride - 8 * depth)
        } else {
          panel.update(repeating: 0, count: stride)
        }
      }
      let place = forward + block * steps * QLORA_STEP_ELEMENTS
      kernels.half_of_rows(depth, panels, panels + stride, place)
      kernels.half_of_rows(depth, panels + 2 * stride, panels + 3 * stride, place + half)
      guard let backward else { continue }
      for column in 0..<steps * 2 {
        kernels.half_of_columns(
          4, panels + column * 128, stride,
          backward + (column / 2 * blocks + block) * QLORA_STEP_ELEMENTS + column % 2 * half)
      }
    }
  }

  /// `(Σ weights · head − others · head[target]) / total` for every named row.
  private func finishGradient(
    _ sweep: HeadSweep, _ rows: [Int32], _ targets: [Int32], _ head: any PanelWeight,
    into output: Tensor
  ) {
    let columns = output.shape[1]
    let values = output.pointer(Float.self)
    let (storage, memory) = scratch(floats: (columns + 16) * 9)
    threadPool.run(rows.count) { index, worker in
      guard let sums = sweep.sum(index) else { return }
      let target = memory(worker)
      let row = Int(targets[index])
      decodeRows(head, rows: row..<row + 1, into: target, panel: target + columns)
      let total = sweep.total(index)
      let (scale, others) = (Float(1 / total), Float(sweep.state[index].others / total))
      let place = values + Int(rows[index]) * columns
      for column in 0..<columns {
        place[column] += scale * sums[column] - others * target[column]
      }
    }
    withExtendedLifetime(storage) {}
  }
}

/// A worker's memory during the sweep, in floats from one place.
private struct HeadScratch {
  let rows: Int
  private let packed: Int
  private let panel: Int

  init(hidden: Int, width: Int) {
    rows = MatrixBlocking.vocabularyRows(hidden: hidden)
    packed = rows * width / 2
    panel = 4 * Self.panelFloats(hidden)
  }

  /// A decoded group, with room for a last line and for whole blocks of columns.
  static func panelFloats(_ hidden: Int) -> Int { 8 * (hidden + 32) }

  var floats: Int { 2 * packed + panel + TokenStrips.rows * rows * 3 / 2 }

  func forward(_ place: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<UInt16> {
    UnsafeMutableRawPointer(place).assumingMemoryBound(to: UInt16.self)
  }

  func backward(_ place: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<UInt16> {
    forward(place + packed)
  }

  func panels(_ place: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<Float> {
    place + 2 * packed
  }

  /// `[32][rows]`.
  func logits(_ place: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<Float> {
    panels(place) + panel
  }

  /// A strip of the logits' exponentials.
  func weights(_ place: UnsafeMutablePointer<Float>) -> UnsafeMutablePointer<UInt16> {
    forward(logits(place) + TokenStrips.rows * rows)
  }
}
