// Products with weights in panels: `output = x·Wᵀ + bias + scale·(x·Aᵀ)·Bᵀ`. 4-bit weights are
// decoded block by block into the cache; no decoded matrix ever exists.
import CQLoRAKernels
import QLoRATensor

/// Sizes of the blocks of a product, and the caches that they are for.
enum ProductBlocking {
  /// Steps of the reduction per visit of a tile: 128 × 48 floats are 24 KiB, inside L1.
  static let depth = 128
  /// Decoded weights per work item: with a tile's results they stay in half of a 1 MiB L2.
  static let decodedFloats = 96 * 1024
  static let maximumRows = 64
  /// Items per thread, so that the last ones to finish wait for little.
  static let itemsPerThread = 4

  /// Rows of a weight per work item, a multiple of 8.
  static func rows(outFeatures: Int, inFeatures: Int, threads: Int) -> Int {
    let fitting = max(8, min(maximumRows, decodedFloats / inFeatures / 8 * 8))
    let balanced = max(8, (outFeatures / (threads * itemsPerThread) + 7) / 8 * 8)
    return min(fitting, balanced)
  }
}

/// The low-rank branch of one term, ready for the inner loops.
struct PackedAdapter {
  /// Rank rounded up to 8.
  let depth: Int
  /// `dropout(x)·Aᵀ` as tiles `[depth][48]`.
  let projected: TokenTiles
}

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes give; work items
// write disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension CPUBackend {
  package func linear(_ input: Tensor, _ terms: [LinearTerm]) {
    let tokens = input.shape[0]
    if tokens == 0 || terms.isEmpty { return }
    let weights = terms.map { panelWeight($0.weight) }
    if usesOpenBLAS {
      linearByOpenBLAS(input, terms, weights)
      return
    }
    if tokens <= QLORA_SMALL_TOKENS, weights.allSatisfy(\.servesFewTokens) {
      linearOfFewTokens(input, terms, weights)
      return
    }
    if let kernels = matrixKernels(for: input.dtype) {
      linearByMatrix(input, terms, weights, kernels)
      return
    }
    let tiles = pack(input, tokens: tokens, columns: input.shape[1])
    if let products = int16Products(weights) {
      products.linear(input, terms, tiles)
      return
    }
    let adapters = terms.map { $0.adapter.map { project($0, input: input, tiles: tiles) } }
    multiply(tiles, terms, weights, adapters)
  }

  func panelWeight(_ weight: any PreparedWeight) -> any PanelWeight {
    guard let weight = weight as? any PanelWeight else {
      preconditionFailure("a weight of another backend")
    }
    return weight
  }

  /// `projected = dropout(x)·Aᵀ`, kept in the adapter's tensor and as tiles.
  func project(_ adapter: AdapterTerm, input: Tensor, tiles: TokenTiles) -> PackedAdapter {
    let rank = adapter.a.shape[0]
    let columns = adapter.a.shape[1]
    let depth = (rank + 7) / 8 * 8
    let source =
      adapter.dropout.map {
        pack(dropped(input, $0), tokens: tiles.tokens, columns: columns)
      } ?? tiles
    let panels = storagePool.borrow(depth * columns * 4)
    let panel = panels.baseAddress.assumingMemoryBound(to: Float.self)
    let kernels = product
    for group in 0..<depth / 8 {
      kernels.panel_f32(
        min(8, rank - group * 8), columns, adapter.a.pointer(Float.self) + group * 8 * columns,
        columns, panel + group * 8 * columns)
    }
    let projected = TokenTiles(tokens: tiles.tokens, columns: depth, storagePool)
    threadPool.run(tiles.count) { tile in
      let c = projected[tile]
      for group in 0..<depth / 8 {
        accumulateTile(
          depth: columns, panel + group * 8 * columns, source[tile],
          into: c + group * 8 * TokenTiles.width, vectors: tiles.vectors(in: tile),
          adding: false, kernels)
      }
      unpack(
        c, tokens: tiles.tokens(in: tile), rows: rank, bias: nil, into: adapter.projected,
        token: tile * TokenTiles.width, row: 0, stride: rank)
    }
    return PackedAdapter(depth: depth, projected: projected)
  }

  /// One group times one tile over a whole reduction, in steps that keep the tile's part in L1.
  func accumulateTile(
    depth: Int, _ w: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    into c: UnsafeMutablePointer<Float>, vectors: Int, adding: Bool,
    _ kernels: qlora_product_kernels
  ) {
    var start = 0
    while start < depth {
      let count = min(ProductBlocking.depth, depth - start)
      kernels.tile(
        count, w + start * 8, x + start * TokenTiles.width, c, vectors,
        adding || start > 0 ? 1 : 0)
      start += count
    }
  }

  /// A block of rows of one term.
  private struct RowBlock {
    let term: Int
    let rows: Range<Int>
    let tiles: Range<Int>
  }

  /// Cuts all terms into blocks of rows, and the tokens too where rows alone are too few.
  private func rowBlocks(_ weights: [any PanelWeight], tiles: Int) -> [RowBlock] {
    let threads = threadPool.threads
    var blocks: [RowBlock] = []
    let rowItems = weights.reduce(0) { $0 + ($1.groups + 3) / 4 }
    let parts = max(1, min(tiles, threads * ProductBlocking.itemsPerThread / max(1, rowItems)))
    for (index, weight) in weights.enumerated() {
      let step = ProductBlocking.rows(
        outFeatures: weight.outFeatures, inFeatures: weight.inFeatures, threads: threads)
      for row in stride(from: 0, to: weight.outFeatures, by: step) {
        let rows = row..<min(row + step, weight.outFeatures)
        for part in 0..<parts {
          let range = part * tiles / parts..<(part + 1) * tiles / parts
          blocks.append(RowBlock(term: index, rows: rows, tiles: range))
        }
      }
    }
    return blocks
  }

  private func multiply(
    _ tiles: TokenTiles, _ terms: [LinearTerm], _ weights: [any PanelWeight],
    _ adapters: [PackedAdapter?]
  ) {
    let blocks = rowBlocks(weights, tiles: tiles.count)
    let columns = tiles.columns
    let rowCapacity = (blocks.map(\.rows.count).max() ?? 0) + 7
    let depth = adapters.map { $0?.depth ?? 0 }.max() ?? 0
    // The last line of a group may be decoded 15 columns past the end.
    let decoded = (columns + 16) * rowCapacity
    let low = depth * rowCapacity
    let (storage, memory) = scratch(floats: decoded + low + rowCapacity * TokenTiles.width)
    threadPool.run(blocks.count) { item, worker in
      let block = blocks[item]
      let w = memory(worker)
      let b = w + decoded
      multiply(
        tiles, terms[block.term], weights[block.term], adapters[block.term], rows: block.rows,
        tileRange: block.tiles, w: w, b: b, c: b + low)
    }
    withExtendedLifetime(storage) {}
  }

  /// One block of rows for a range of tiles; `w`, `b` and `c` are scratch.
  private func multiply(
    _ tiles: TokenTiles, _ term: LinearTerm, _ weight: any PanelWeight, _ adapter: PackedAdapter?,
    rows: Range<Int>, tileRange: Range<Int>, w: UnsafeMutablePointer<Float>,
    b: UnsafeMutablePointer<Float>, c: UnsafeMutablePointer<Float>
  ) {
    let kernels = product
    let depth = weight.inFeatures
    let groups = (rows.count + 7) / 8
    let firstGroup = rows.lowerBound / 8
    let lowDepth = adapter?.depth ?? 0
    for group in 0..<groups {
      weight.decode(group: firstGroup + group, columns: 0..<depth, into: w + group * 8 * depth,
                    kernels)
      if let adapter = term.adapter {
        packOutput(adapter, group: firstGroup + group, depth: lowDepth,
                   into: b + group * 8 * lowDepth)
      }
    }
    let bias = term.bias.map { UnsafePointer($0.pointer(Float.self) + rows.lowerBound) }
    for tile in tileRange {
      let vectors = tiles.vectors(in: tile)
      var start = 0
      while start < depth {
        let count = min(ProductBlocking.depth, depth - start)
        let x = tiles[tile] + start * TokenTiles.width
        for group in 0..<groups {
          kernels.tile(
            count, w + (group * depth + start) * 8, x, c + group * 8 * TokenTiles.width, vectors,
            start > 0 ? 1 : 0)
        }
        start += count
      }
      if let adapter {
        for group in 0..<groups {
          kernels.tile(
            lowDepth, b + group * 8 * lowDepth, adapter.projected[tile],
            c + group * 8 * TokenTiles.width, vectors, 1)
        }
      }
      unpack(
        c, tokens: tiles.tokens(in: tile), rows: rows.count, bias: bias, into: term.output,
        token: tile * TokenTiles.width, row: rows.lowerBound, stride: weight.outFeatures)
    }
  }

  /// `scale·B` of one group as `[depth][8]`.
  func packOutput(
    _ adapter: AdapterTerm, group: Int, depth: Int, into output: UnsafeMutablePointer<Float>
  ) {
    let rank = adapter.b.shape[1]
    let rows = min(8, adapter.b.shape[0] - group * 8)
    let b = adapter.b.pointer(Float.self) + group * 8 * rank
    output.update(repeating: 0, count: depth * 8)
    for row in 0..<rows {
      for column in 0..<rank { output[column * 8 + row] = adapter.scale * b[row * rank + column] }
    }
  }

  /// `mask(x)` as float32, for the branch of an adapter with dropout.
  package func dropped(_ input: Tensor, _ mask: DropoutMask) -> Tensor {
    let output = widened(input, copying: true)
    let columns = input.shape[1]
    let kernels = product
    let values = output.pointer(Float.self)
    threadPool.run(input.shape[0]) { row in
      let place = values + row * columns
      kernels.dropout(
        columns, UInt64(row * columns), mask.rate, mask.key, mask.stream, place, place)
    }
    return output
  }

  /// The tensor in float32: itself if it already is and `copying` is false.
  func widened(_ input: Tensor, copying: Bool = false) -> Tensor {
    if input.dtype == .float32 && !copying { return input }
    let output = allocate(input.shape, .float32)
    let values = output.pointer(Float.self)
    if input.dtype == .float32 {
      values.update(from: input.pointer(Float.self), count: input.count)
    } else {
      product.widen_bf16(input.count, input.pointer(UInt16.self), values)
    }
    return output
  }
}
