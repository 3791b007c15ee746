// `linear` in products of bf16. Weights and activations are rounded to bf16 once, sums are
// fp32. Adapters count with 16 bits of their fp32 values, as a rounded part and what it left.
import CQLoRAKernels
import QLoRATensor

/// The low-rank branch of one term: another stretch of the reduction, `2 · rank` deep.
struct MatrixAdapter {
  let term: AdapterTerm
  /// `scale·dropout(x)·Aᵀ`, twice side by side: once for B as rounded, once for the rest of B.
  let low: TokenStrips

  var rank: Int { term.b.shape[1] }
}

// SAFETY: pointers lie inside tensors, strips and scratch whose sizes the shapes give; work items
// write disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension CPUBackend {
  func linearByMatrix(
    _ input: Tensor, _ terms: [LinearTerm], _ weights: [any PanelWeight],
    _ kernels: qlora_matrix_kernels
  ) {
    let strips = strips(of: input, kernels)
    let adapters = terms.map { term in
      term.adapter.map { project($0, input: input, strips, kernels) }
    }
    var items: [(term: Int, rows: Range<Int>)] = []
    items.reserveCapacity(terms.count * threadPool.threads * MatrixBlocking.itemsPerThread)
    var (columnElements, panelFloats, width) = (0, 0, 0)
    for (index, weight) in weights.enumerated() {
      let steps = strips.steps + (adapters[index]?.low.steps ?? 0)
      let size = MatrixBlocking.columns(
        of: weight.outFeatures, steps: steps, threads: threadPool.threads)
      for first in stride(from: 0, to: weight.outFeatures, by: size) {
        items.append((index, first..<min(first + size, weight.outFeatures)))
      }
      width = max(width, size)
      columnElements = max(columnElements, size / 32 * steps * QLORA_STEP_ELEMENTS)
      let rank = adapters[index]?.rank ?? 0
      panelFloats = max(panelFloats, 16 * max(weight.inFeatures + 16, 2 * rank))
    }
    let (storage, memory) = scratch(
      floats: columnElements / 2 + panelFloats + TokenStrips.rows * width)
    threadPool.run(items.count) { index, worker in
      let (term, rows) = items[index]
      let panels = memory(worker)
      let sums = panels + panelFloats
      let columns = UnsafeMutableRawPointer(sums + TokenStrips.rows * width)
        .assumingMemoryBound(to: UInt16.self)
      multiply(
        strips, terms[term], weights[term], adapters[term], rows: rows,
        MatrixScratch(panels: panels, sums: sums, columns: columns), kernels)
    }
    withExtendedLifetime(storage) {}
  }

  /// One block of outputs for all tokens.
  private func multiply(
    _ strips: TokenStrips, _ term: LinearTerm, _ weight: any PanelWeight,
    _ adapter: MatrixAdapter?, rows: Range<Int>, _ scratch: MatrixScratch,
    _ kernels: qlora_matrix_kernels
  ) {
    let blocks = (rows.count + 31) / 32
    packRows(weight, rows: rows, into: scratch.columns, panels: scratch.panels, kernels)
    let lowColumns = scratch.columns + blocks * strips.steps * QLORA_STEP_ELEMENTS
    if let adapter {
      packOutputs(adapter.term, rows: rows, into: lowColumns, panels: scratch.panels, kernels)
    }
    let bias = term.bias.map { UnsafePointer($0.pointer(Float.self) + rows.lowerBound) }
    withUnsafeTemporaryAllocation(of: qlora_matrix_part.self, capacity: 2) { parts in
      for strip in 0..<strips.count {
        parts[0] = strips.part(strip, columns: scratch.columns)
        if let adapter { parts[1] = adapter.low.part(strip, columns: lowColumns) }
        kernels.product(
          adapter == nil ? 1 : 2, parts.baseAddress, blocks, scratch.sums, 32 * blocks, 0)
        store(
          scratch.sums, stride: 32 * blocks, tokens: strips.tokens(in: strip), bias: bias,
          into: term.output, token: strip * TokenStrips.rows, columns: rows, kernels)
      }
    }
  }

  /// Writes `sums [tokens][stride]` to columns `columns` of `output`.
  func store(
    _ sums: UnsafePointer<Float>, stride: Int, tokens: Int, bias: UnsafePointer<Float>? = nil,
    into output: Tensor, token: Int, columns: Range<Int>, accumulating: Bool = false,
    _ kernels: qlora_matrix_kernels
  ) {
    let width = output.shape[1]
    let place = token * width + columns.lowerBound
    if output.dtype == .bfloat16 {
      kernels.store_bf16(
        tokens, columns.count, sums, stride, bias, output.pointer(UInt16.self) + place, width)
    } else {
      kernels.store_f32(
        tokens, columns.count, sums, stride, bias, output.pointer(Float.self) + place, width,
        accumulating ? 1 : 0)
    }
  }

  /// Rows `rows` of B as columns, the reduction along the rank: B as rounded, then the rest.
  private func packOutputs(
    _ adapter: AdapterTerm, rows: Range<Int>, into output: UnsafeMutablePointer<UInt16>,
    panels: UnsafeMutablePointer<Float>, _ kernels: qlora_matrix_kernels
  ) {
    let (outFeatures, rank) = (adapter.b.shape[0], adapter.b.shape[1])
    let block = MatrixBlocking.steps(2 * rank) * QLORA_STEP_ELEMENTS
    for half in 0..<(rows.count + 31) / 32 * 2 {
      for index in 0..<2 {
        let panel = panels + index * 16 * rank
        let row = rows.lowerBound + 16 * half + 8 * index
        if row < outFeatures {
          product.panel_f32(
            min(8, outFeatures - row), rank, adapter.b.pointer(Float.self) + row * rank, rank,
            panel)
        } else {
          panel.update(repeating: 0, count: 8 * rank)
        }
        kernels.residual(8 * rank, panel, panel + 8 * rank)
      }
      kernels.half_of_rows(
        2 * rank, panels, panels + 16 * rank,
        output + half / 2 * block + half % 2 * (QLORA_STEP_ELEMENTS / 2))
    }
  }

  // MARK: The low-rank projection

  /// `projected = dropout(x)·Aᵀ`, kept in the adapter's tensor and, scaled, as strips.
  private func project(
    _ adapter: AdapterTerm, input: Tensor, _ strips: TokenStrips, _ kernels: qlora_matrix_kernels
  ) -> MatrixAdapter {
    let source = adapter.dropout.map { self.strips(of: dropped(input, $0), kernels) } ?? strips
    let columns = packProjection(adapter.a, kernels)
    let low = lowRank(
      source, columns, rank: adapter.a.shape[0], scale: adapter.scale, kernels
    ) { sums, token, count in
      let rank = adapter.a.shape[0]
      (adapter.projected.pointer(Float.self) + token * rank).update(from: sums, count: count * rank)
    }
    withExtendedLifetime(columns) {}
    return MatrixAdapter(term: adapter, low: low)
  }

  /// Aᵀ as columns: for every 16 of the rank a half of A as rounded beside a half of the rest.
  private func packProjection(_ a: Tensor, _ kernels: qlora_matrix_kernels) -> Storage {
    let (rank, depth) = (a.shape[0], a.shape[1])
    let blocks = (rank + 15) / 16
    let block = MatrixBlocking.steps(depth) * QLORA_STEP_ELEMENTS
    let storage = storagePool.borrow(blocks * block * 2)
    let output = storage.baseAddress.assumingMemoryBound(to: UInt16.self)
    let (panelStorage, memory) = scratch(floats: 16 * depth)
    threadPool.run(blocks) { index, worker in
      let panels = memory(worker)
      for group in 0..<2 {
        let (row, panel) = (16 * index + 8 * group, panels + group * 8 * depth)
        if row < rank {
          product.panel_f32(
            min(8, rank - row), depth, a.pointer(Float.self) + row * depth, depth, panel)
        } else {
          panel.update(repeating: 0, count: 8 * depth)
        }
      }
      let place = output + index * block
      kernels.half_of_rows(depth, panels, panels + 8 * depth, place)
      kernels.residual(16 * depth, panels, panels)
      kernels.half_of_rows(depth, panels, panels + 8 * depth, place + QLORA_STEP_ELEMENTS / 2)
    }
    withExtendedLifetime(panelStorage) {}
    return storage
  }

  /// The product of `source` with columns in halves of rounded values beside their rests: handed to
  /// `keep` as `[tokens][rank]` and returned, times `scale` and twice side by side, as strips.
  func lowRank(
    _ source: TokenStrips, _ columns: Storage, rank: Int, scale: Float,
    _ kernels: qlora_matrix_kernels,
    _ keep: (_ sums: UnsafePointer<Float>, _ token: Int, _ count: Int) -> Void
  ) -> TokenStrips {
    let low = TokenStrips(tokens: source.tokens, columns: 2 * rank, storagePool)
    let width = (rank + 15) / 16 * 32
    let rows = TokenStrips.rows
    let (storage, memory) = scratch(floats: rows * (width + 3 * rank))
    let packed = columns.baseAddress.assumingMemoryBound(to: UInt16.self)
    threadPool.run(source.count) { strip, worker in
      let sums = memory(worker)
      let (values, twice) = (sums + rows * width, sums + rows * (width + rank))
      var part = source.part(strip, columns: packed)
      kernels.product(1, &part, width / 32, sums, width, 0)
      for row in 0..<rows {
        for column in 0..<rank {
          let place = row * width + column / 16 * 32 + column % 16
          let value = sums[place] + sums[place + 16]
          values[row * rank + column] = value
          twice[row * 2 * rank + column] = scale * value
          twice[row * 2 * rank + rank + column] = scale * value
        }
      }
      keep(values, strip * rows, source.tokens(in: strip))
      kernels.strip_f32(source.tokens(in: strip), 2 * rank, twice, 2 * rank, low[strip])
    }
    withExtendedLifetime(storage) {}
    return low
  }
}

/// What a work item of a bf16 product writes on the way.
struct MatrixScratch {
  /// Decoded panels.
  let panels: UnsafeMutablePointer<Float>
  /// `[32][columns]`.
  let sums: UnsafeMutablePointer<Float>
  /// The right factor.
  let columns: UnsafeMutablePointer<UInt16>
}
