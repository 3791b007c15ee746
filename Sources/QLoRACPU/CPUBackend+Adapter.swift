// The low-rank branch of a forward product: `dropout(x)·Aᵀ` while a tile is being packed, then B as
// a continuation of the reduction.
import CQLoRAKernels
import QLoRATensor

/// The low-rank branch of one term, ready for the inner loops.
struct PackedAdapter {
  /// Rank rounded up to 8.
  let depth: Int
  /// A as `[depth / 8][in][8]`.
  let panels: Storage
  /// The input behind the dropout and its tiles, where there is one.
  let dropped: (input: Tensor, tiles: TokenTiles)?
  /// `dropout(x)·Aᵀ` as tiles `[depth][48]`.
  let projected: TokenTiles
}

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes give; work items
// write disjoint tiles.
extension CPUBackend {
  /// Packs the input, and projects each tile for every adapter while it is in the cache.
  func packAndProject(
    _ input: Tensor, _ terms: [LinearTerm]
  ) -> (TokenTiles, [PackedAdapter?]) {
    let tiles = TokenTiles(tokens: input.shape[0], columns: input.shape[1], storagePool)
    let adapters = terms.map { $0.adapter.map { prepare($0, input) } }
    threadPool.run(tiles.count) { tile in
      packTile(input, tile: tile, of: tiles)
      for (term, packed) in zip(terms, adapters) {
        guard let adapter = term.adapter, let packed else { continue }
        if let dropped = packed.dropped {
          packTile(dropped.input, tile: tile, of: dropped.tiles)
        }
        project(adapter, packed, packed.dropped?.tiles ?? tiles, tile: tile)
      }
    }
    return (tiles, adapters)
  }

  private func prepare(_ adapter: AdapterTerm, _ input: Tensor) -> PackedAdapter {
    let (rank, columns) = (adapter.a.shape[0], adapter.a.shape[1])
    let depth = (rank + 7) / 8 * 8
    let panels = storagePool.borrow(depth * columns * 4)
    let panel = panels.baseAddress.assumingMemoryBound(to: Float.self)
    for group in 0..<depth / 8 {
      product.panel_f32(
        min(8, rank - group * 8), columns, adapter.a.pointer(Float.self) + group * 8 * columns,
        columns, panel + group * 8 * columns)
    }
    let tokens = input.shape[0]
    return PackedAdapter(
      depth: depth, panels: panels,
      dropped: adapter.dropout.map {
        (dropped(input, $0), TokenTiles(tokens: tokens, columns: columns, storagePool))
      },
      projected: TokenTiles(tokens: tokens, columns: depth, storagePool))
  }

  /// `projected = dropout(x)·Aᵀ` of one tile, kept in the adapter's tensor and as a tile.
  private func project(
    _ adapter: AdapterTerm, _ packed: PackedAdapter, _ source: TokenTiles, tile: Int
  ) {
    let (rank, columns) = (adapter.a.shape[0], adapter.a.shape[1])
    let c = packed.projected[tile]
    accumulateTile(
      depth: columns, groups: packed.depth / 8,
      packed.panels.baseAddress.assumingMemoryBound(to: Float.self), source[tile], into: c,
      vectors: source.vectors(in: tile))
    unpack(
      c, tokens: source.tokens(in: tile), rows: rank, bias: nil, into: adapter.projected,
      token: tile * TokenTiles.width, row: 0, stride: rank)
  }

  /// `c [groups · 8][48]` = groups `w [groups][depth][8]` times one tile, in steps that keep the
  /// tile's part in L1 for all groups.
  func accumulateTile(
    depth: Int, groups: Int, _ w: UnsafePointer<Float>, _ x: UnsafePointer<Float>,
    into c: UnsafeMutablePointer<Float>, vectors: Int
  ) {
    let kernels = product
    for start in stride(from: 0, to: depth, by: ProductBlocking.depth) {
      let count = min(ProductBlocking.depth, depth - start)
      for group in 0..<groups {
        kernels.tile(
          count, w + (group * depth + start) * 8, x + start * TokenTiles.width,
          c + group * 8 * TokenTiles.width, vectors, start > 0 ? 1 : 0)
      }
    }
  }

  /// Adds `scale·B·projected` to the sums of one block; `b` is scratch.
  func addBranch(
    _ adapter: AdapterTerm, _ packed: PackedAdapter, rows: Range<Int>, tiles: Range<Int>,
    b: UnsafeMutablePointer<Float>, c: UnsafeMutablePointer<Float>
  ) {
    let kernels = product
    let groups = rows.lowerBound / 8..<(rows.upperBound + 7) / 8
    for (index, group) in groups.enumerated() {
      packOutput(adapter, group: group, depth: packed.depth, into: b + index * 8 * packed.depth)
    }
    for (place, tile) in tiles.enumerated() {
      for index in 0..<groups.count {
        kernels.tile(
          packed.depth, b + index * 8 * packed.depth, packed.projected[tile],
          c + (place * groups.count + index) * 8 * TokenTiles.width,
          packed.projected.vectors(in: tile), 1)
      }
    }
  }

  /// `scale·B` of one group as `[depth][8]`.
  func packOutput(
    _ adapter: AdapterTerm, group: Int, depth: Int, into output: UnsafeMutablePointer<Float>
  ) {
    let rank = adapter.b.shape[1]
    let rows = min(8, adapter.b.shape[0] - group * 8)
    let b = adapter.b.pointer(Float.self) + group * 8 * rank
    product.panel_f32(rows, rank, b, rank, output)
    for index in 0..<rank * 8 { output[index] *= adapter.scale }
    (output + rank * 8).update(repeating: 0, count: (depth - rank) * 8)
  }
}
