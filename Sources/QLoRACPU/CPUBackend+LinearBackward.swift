// The gradients of `linear`: `dX = dY·W + scale·(dY·B)·A`, `dA = scale·(dY·B)ᵀ·x`,
// `dB = scale·dYᵀ·u`. The weight is decoded in blocks of columns, a chunk of rows at a time, by the
// same kernels as forward.
import CQLoRAKernels
import QLoRATensor

/// What backward computes with for one term.
struct BackwardTerm {
  let weight: any PanelWeight
  /// dY as tiles `[out][48]`.
  let gradient: TokenTiles
  let adapter: AdapterTerm?
  /// `scale·dY·B` as tiles `[rank][48]`.
  let low: TokenTiles?
  /// What the product takes instead of `gradient` where it is computed in int16.
  var int16: Int16Gradient?
}

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes and
// `ProductBlocking` give; items write disjoint columns × tokens.
extension CPUBackend {
  package func linearBackward(
    _ terms: [LinearGradientTerm], input: Tensor, inputGradient: Tensor?, accumulating: Bool
  ) {
    if input.shape[0] == 0 { return }
    let input = input.dtype == .float16 ? widened(input) : input
    if let kernels = matrixKernels(for: input.dtype) {
      linearBackwardByMatrix(
        terms, input: input, inputGradient: inputGradient, accumulating: accumulating, kernels)
      return
    }
    let prepared = terms.map { prepare($0) }
    if let inputGradient {
      backpropagate(prepared, into: inputGradient, accumulating: accumulating)
      for term in prepared where term.adapter?.dropout != nil {
        backpropagateDropped(term, into: inputGradient)
      }
    }
    for (term, prepared) in zip(terms, prepared) {
      guard let adapter = term.adapter, let low = prepared.low else { continue }
      if let gradient = term.aGradient {
        let source = adapter.dropout.map { dropped(input, $0) } ?? input
        addInputGradient(low, source, into: gradient)
      }
      if let gradient = term.bGradient {
        addOutputGradient(adapter, term.outputGradient, into: gradient)
      }
    }
  }

  /// Packs dY, and forms `low` of each tile while it is in the cache.
  private func prepare(_ term: LinearGradientTerm) -> BackwardTerm {
    let weight = panelWeight(term.weight)
    let tokens = term.outputGradient.shape[0]
    let rows = weight.outFeatures
    let gradient = TokenTiles(tokens: tokens, columns: rows, storagePool)
    let low = term.adapter.map {
      TokenTiles(tokens: tokens, columns: $0.b.shape[1], storagePool)
    }
    let panels = term.adapter.map { lowPanels($0, depth: low?.columns ?? 0) }
    threadPool.run(gradient.count) { tile in
      packTile(term.outputGradient, tile: tile, of: gradient)
      guard let low, let panels else { return }
      accumulateTile(
        depth: rows, groups: low.columns / 8,
        panels.baseAddress.assumingMemoryBound(to: Float.self), gradient[tile], into: low[tile],
        vectors: low.vectors(in: tile))
    }
    return BackwardTerm(
      weight: weight, gradient: gradient, adapter: term.adapter, low: low,
      int16: int16Gradient(gradient, weight))
  }

  /// `scale·Bᵀ` as panels `[depth / 8][out][8]`.
  private func lowPanels(_ adapter: AdapterTerm, depth: Int) -> Storage {
    let (rows, rank) = (adapter.b.shape[0], adapter.b.shape[1])
    let panels = storagePool.borrow(depth * rows * 4)
    let panel = panels.baseAddress.assumingMemoryBound(to: Float.self)
    let b = adapter.b.pointer(Float.self)
    for group in 0..<depth / 8 {
      let count = min(8, rank - group * 8)
      for row in 0..<rows {
        let (from, to) = (b + row * rank + group * 8, panel + (group * rows + row) * 8)
        for column in 0..<count { to[column] = adapter.scale * from[column] }
        for column in count..<8 { to[column] = 0 }
      }
    }
    return panels
  }

  // MARK: The input's gradient

  /// `output = dY·W` for a gradient that is already in tiles.
  func backpropagate(_ gradient: TokenTiles, _ weight: any PanelWeight, into output: Tensor) {
    let term = BackwardTerm(
      weight: weight, gradient: gradient, adapter: nil, low: nil,
      int16: int16Gradient(gradient, weight))
    backpropagate([term], into: output, accumulating: false)
  }

  /// Work items are blocks of columns times ranges of tiles; an item sums over all terms.
  private func backpropagate(
    _ terms: [BackwardTerm], into output: Tensor, accumulating: Bool
  ) {
    guard let first = terms.first else { return }
    let columns = output.shape[1]
    let tiles = first.gradient.count
    let width = ProductBlocking.width(outputs: columns, tiles: tiles, threads: threadPool.threads)
    let blocks = (columns + width - 1) / width
    let parts = ProductBlocking.parts(tiles: tiles, blocks: blocks, threads: threadPool.threads)
    let sums = (parts.map(\.count).max() ?? 0) * width * TokenTiles.width
    let depth = terms.map { $0.low?.columns ?? 0 }.max() ?? 0
    let decoded = max(
      max(depth, ProductBlocking.chunk + 7) * width,
      int16 == nil ? 0 : Int16Blocking.backwardFloats)
    let (storage, memory) = scratch(floats: sums + decoded)
    threadPool.run(blocks * parts.count) { item, worker in
      let start = item / parts.count * width
      let block = ColumnBlock(
        columns: start..<min(start + width, columns), tiles: parts[item % parts.count],
        width: width, sums: memory(worker), decoded: memory(worker) + sums)
      for (index, term) in terms.enumerated() { add(term, to: block, first: index == 0) }
      store(block, terms[0].gradient, into: output, accumulating: accumulating)
    }
    withExtendedLifetime(storage) {}
  }

  /// One item of `backpropagate` and its scratch memory.
  struct ColumnBlock {
    let columns: Range<Int>
    let tiles: Range<Int>
    /// Columns of a block at most, a multiple of 16.
    let width: Int
    /// `[tiles][width][48]`.
    let sums: UnsafeMutablePointer<Float>
    let decoded: UnsafeMutablePointer<Float>

    var groups: Int { (columns.count + 7) / 8 }

    func sum(_ tile: Int, _ group: Int) -> UnsafeMutablePointer<Float> {
      sums + ((tile - tiles.lowerBound) * width + group * 8) * TokenTiles.width
    }
  }

  private func add(_ term: BackwardTerm, to block: ColumnBlock, first: Bool) {
    let kernels = product
    if let gradient = term.int16 {
      gradient.add(to: block, first: first)
    } else {
      addProduct(term, to: block, first: first)
    }
    if let adapter = term.adapter, adapter.dropout == nil, let low = term.low {
      addLowRank(adapter, low, to: block, kernels)
    }
  }

  private func addProduct(_ term: BackwardTerm, to block: ColumnBlock, first: Bool) {
    let kernels = product
    // A group's columns lie one line width apart, so that the last line fits.
    let width = (block.columns.count + 15) / 16 * 16
    let step = ProductBlocking.chunk / 8
    for start in stride(from: 0, to: term.weight.groups, by: step) {
      let count = min(step, term.weight.groups - start)
      for group in 0..<count {
        term.weight.decode(
          group: start + group, columns: block.columns, into: block.decoded + group * width * 8,
          kernels)
      }
      for tile in block.tiles {
        multiply(
          term.gradient, tile: tile, groups: start..<start + count, width: width, block,
          first: first && start == 0, kernels)
      }
    }
  }

  private func multiply(
    _ gradient: TokenTiles, tile: Int, groups: Range<Int>, width: Int, _ block: ColumnBlock,
    first: Bool, _ kernels: qlora_product_kernels
  ) {
    let step = ProductBlocking.depth / 8
    for start in stride(from: 0, to: groups.count, by: step) {
      let count = min(step, groups.count - start)
      let x = gradient[tile] + (groups.lowerBound + start) * 8 * TokenTiles.width
      for group in 0..<block.groups {
        kernels.tile_transposed(
          count, block.decoded + (start * width + group * 8) * 8, width * 8, x,
          block.sum(tile, group), gradient.vectors(in: tile), first && start == 0 ? 0 : 1)
      }
    }
  }

  /// Adds `low·A` to the sums.
  private func addLowRank(
    _ adapter: AdapterTerm, _ low: TokenTiles, to block: ColumnBlock,
    _ kernels: qlora_product_kernels
  ) {
    let panel = block.decoded
    for group in 0..<block.groups {
      packInput(adapter, column: block.columns.lowerBound + group * 8, depth: low.columns, panel)
      for tile in block.tiles {
        kernels.tile(
          low.columns, panel, low[tile], block.sum(tile, group), low.vectors(in: tile), 1)
      }
    }
  }

  /// Columns `column ..< column + 8` of A as `[depth][8]`, zero padded.
  private func packInput(
    _ adapter: AdapterTerm, column: Int, depth: Int, _ output: UnsafeMutablePointer<Float>
  ) {
    let (rank, columns) = (adapter.a.shape[0], adapter.a.shape[1])
    let a = adapter.a.pointer(Float.self)
    for row in 0..<depth {
      for offset in 0..<8 {
        let inside = row < rank && column + offset < columns
        output[row * 8 + offset] = inside ? a[row * columns + column + offset] : 0
      }
    }
  }

  private func store(
    _ block: ColumnBlock, _ tiles: TokenTiles, into output: Tensor, accumulating: Bool
  ) {
    for tile in block.tiles {
      unpack(
        block.sum(tile, 0), tokens: tiles.tokens(in: tile), rows: block.columns.count, bias: nil,
        into: output, token: tile * TokenTiles.width, row: block.columns.lowerBound,
        stride: output.shape[1], accumulating: accumulating)
    }
  }

  /// The branch behind a dropout: `mask(low·A)` is added to the finished gradient.
  private func backpropagateDropped(_ term: BackwardTerm, into output: Tensor) {
    guard let adapter = term.adapter, let mask = adapter.dropout, let low = term.low else { return }
    let columns = output.shape[1]
    let kernels = product
    let branch = allocate(output.shape, .float32)
    let values = branch.pointer(Float.self)
    let gradient = output.pointer(Float.self)
    let (storage, memory) = scratch(floats: low.columns * 8 + 8 * TokenTiles.width)
    threadPool.run(low.count) { tile, worker in
      let panel = memory(worker)
      let c = panel + low.columns * 8
      for column in stride(from: 0, to: columns, by: 8) {
        packInput(adapter, column: column, depth: low.columns, panel)
        kernels.tile(low.columns, panel, low[tile], c, low.vectors(in: tile), 0)
        unpack(
          c, tokens: low.tokens(in: tile), rows: min(8, columns - column), bias: nil, into: branch,
          token: tile * TokenTiles.width, row: column, stride: columns)
      }
      let first = tile * TokenTiles.width * columns
      let count = low.tokens(in: tile) * columns
      kernels.dropout(
        count, UInt64(first), mask.rate, mask.key, mask.stream, values + first, values + first)
      for index in first..<first + count { gradient[index] += values[index] }
    }
    withExtendedLifetime(storage) {}
  }
}
