// Products with weights in panels: `output = x·Wᵀ + bias + scale·(x·Aᵀ)·Bᵀ`. 4-bit weights are
// decoded block by block into the cache; no decoded matrix ever exists.
import CQLoRAKernels
import QLoRATensor

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes give; work items
// write disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension CPUBackend {
  package func linear(_ input: Tensor, _ terms: [LinearTerm]) {
    let tokens = input.shape[0]
    if tokens == 0 || terms.isEmpty { return }
    let mixed = terms.filter(isMixed)
    if !mixed.isEmpty {
      linearByInt8(input, mixed)
      return linear(input, terms.filter { !isMixed($0) })
    }
    if input.dtype == .float16 {
      linearOfHalf(input, terms)
      return
    }
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
    let (tiles, adapters) = packAndProject(input, terms)
    if let products = int16Products(weights) {
      products.linear(terms, tiles, adapters)
      return
    }
    multiply(tiles, terms, weights, adapters)
  }

  /// The kernels of products know float32 and bfloat16: half precision is a type of storage.
  private func linearOfHalf(_ input: Tensor, _ terms: [LinearTerm]) {
    let wide = terms.map { term in
      var term = term
      term.output = allocate(term.output.shape, .float32)
      return term
    }
    linear(widened(input), wide)
    for (wide, term) in zip(wide, terms) { convert(wide.output, into: term.output) }
  }

  func panelWeight(_ weight: any PreparedWeight) -> any PanelWeight {
    let weight = (weight as? any LentWeight)?.borrow() ?? weight
    guard let weight = weight as? any PanelWeight else {
      preconditionFailure("a weight of another backend")
    }
    return weight
  }

  /// A block of rows of one term, for some tiles.
  private struct RowBlock {
    let term: Int
    let rows: Range<Int>
    let tiles: Range<Int>

    var groups: Range<Int> { rows.lowerBound / 8..<(rows.upperBound + 7) / 8 }
  }

  /// Cuts all terms into blocks of rows, and the tokens too where they are many or the rows few.
  private func rowBlocks(_ weights: [any PanelWeight], tiles: Int) -> [RowBlock] {
    let threads = threadPool.threads
    let steps = weights.map {
      ProductBlocking.width(outputs: $0.outFeatures, tiles: tiles, threads: threads)
    }
    let count = zip(weights, steps).reduce(0) { $0 + ($1.0.outFeatures + $1.1 - 1) / $1.1 }
    let parts = ProductBlocking.parts(tiles: tiles, blocks: count, threads: threads)
    var blocks: [RowBlock] = []
    for (index, (weight, step)) in zip(weights, steps).enumerated() {
      for row in stride(from: 0, to: weight.outFeatures, by: step) {
        let rows = row..<min(row + step, weight.outFeatures)
        for part in parts { blocks.append(RowBlock(term: index, rows: rows, tiles: part)) }
      }
    }
    return blocks
  }

  private func multiply(
    _ tiles: TokenTiles, _ terms: [LinearTerm], _ weights: [any PanelWeight],
    _ adapters: [PackedAdapter?]
  ) {
    let blocks = rowBlocks(weights, tiles: tiles.count)
    let rowCapacity = (blocks.map(\.rows.count).max() ?? 0) + 7
    let depth = adapters.map { $0?.depth ?? 0 }.max() ?? 0
    let sums = (blocks.map(\.tiles.count).max() ?? 0) * rowCapacity * TokenTiles.width
    let decoded = max(depth, ProductBlocking.chunk) * rowCapacity
    let (storage, memory) = scratch(floats: sums + decoded)
    threadPool.run(blocks.count) { item, worker in
      let block = blocks[item]
      let c = memory(worker)
      let w = c + sums
      let term = terms[block.term]
      multiply(tiles, weights[block.term], block, w: w, c: c)
      if let adapter = term.adapter, let packed = adapters[block.term] {
        addBranch(
          adapter, packed, rows: block.rows, tiles: block.tiles, b: w, c: c)
      }
      let bias = term.bias.map { UnsafePointer($0.pointer(Float.self) + block.rows.lowerBound) }
      for (index, tile) in block.tiles.enumerated() {
        unpack(
          c + index * block.groups.count * 8 * TokenTiles.width, tokens: tiles.tokens(in: tile),
          rows: block.rows.count, bias: bias, into: term.output, token: tile * TokenTiles.width,
          row: block.rows.lowerBound, stride: term.output.shape[1])
      }
    }
    withExtendedLifetime(storage) {}
  }

  /// `c [tiles][rows][48] = W·x` of one block; `w` is scratch for a chunk of decoded weights.
  private func multiply(
    _ tiles: TokenTiles, _ weight: any PanelWeight, _ block: RowBlock,
    w: UnsafeMutablePointer<Float>, c: UnsafeMutablePointer<Float>
  ) {
    let kernels = product
    let groups = block.groups
    for first in stride(from: 0, to: weight.inFeatures, by: ProductBlocking.chunk) {
      let columns = first..<min(first + ProductBlocking.chunk, weight.inFeatures)
      // The last line of a group may be decoded 15 columns past the end.
      let width = (columns.count + 15) / 16 * 16 * 8
      for (index, group) in groups.enumerated() {
        weight.decode(group: group, columns: columns, into: w + index * width, kernels)
      }
      for (place, tile) in block.tiles.enumerated() {
        let vectors = tiles.vectors(in: tile)
        for start in stride(from: 0, to: columns.count, by: ProductBlocking.depth) {
          let x = tiles[tile] + (first + start) * TokenTiles.width
          for index in 0..<groups.count {
            kernels.tile(
              min(ProductBlocking.depth, columns.count - start), w + index * width + start * 8, x,
              c + (place * groups.count + index) * 8 * TokenTiles.width, vectors,
              first + start > 0 ? 1 : 0)
          }
        }
      }
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
    } else if input.dtype == .bfloat16 {
      product.widen_bf16(input.count, input.pointer(UInt16.self), values)
    } else {
      convert(input, into: output)
    }
    return output
  }
}
