// `linear` in 16-bit integers: the frozen products alone; the low-rank branch stays fp32.
import CQLoRAKernels
import QLoRATensor

/// Rows of one term times a range of tiles.
private struct RowBlock {
  let term: Int
  let rows: Range<Int>
  let tiles: Range<Int>

  var groups: Range<Int> { rows.lowerBound / 8..<(rows.upperBound + 7) / 8 }
}

// SAFETY: pointers lie inside tensors, tiles and scratch whose sizes the shapes give; work items
// write disjoint rows × tokens of the outputs, and each worker has scratch of its own.
extension Int16Products {
  func linear(_ terms: [LinearTerm], _ tiles: TokenTiles, _ adapters: [PackedAdapter?]) {
    let lanes = quantize(tiles)
    let blocks = rowBlocks(tiles: tiles.count)
    let count = (blocks.map(\.groups.count).max() ?? 0) * 8
    let depth = adapters.map { $0?.depth ?? 0 }.max() ?? 0
    let decoded = scratchFloats(rows: count, lanes)
    let (storage, memory) = backend.scratch(floats: decoded + count * (depth + TokenTiles.width))
    backend.threadPool.run(blocks.count) { item, worker in
      let low = memory(worker) + decoded
      run(
        blocks[item], terms, adapters[blocks[item].term], lanes, tiles,
        rows: rows(count, lanes, at: memory(worker)), low: low, sums: low + count * depth)
    }
    withExtendedLifetime(storage) {}
  }

  /// One work item; `low` and `sums` are scratch.
  private func run(
    _ block: RowBlock, _ terms: [LinearTerm], _ adapter: PackedAdapter?, _ lanes: Int16Tiles,
    _ tiles: TokenTiles, rows: Int16Rows, low: UnsafeMutablePointer<Float>,
    sums: UnsafeMutablePointer<Float>
  ) {
    let term = terms[block.term]
    let depth = adapter?.depth ?? 0
    decode(weight: block.term, groups: block.groups, lanes, into: rows)
    if let adapter = term.adapter {
      for (index, group) in block.groups.enumerated() {
        backend.packOutput(adapter, group: group, depth: depth, into: low + index * 8 * depth)
      }
    }
    let bias = term.bias.map { UnsafePointer($0.pointer(Float.self) + block.rows.lowerBound) }
    for tile in block.tiles {
      let vectors = tiles.vectors(in: tile)
      multiply(
        rows, groups: block.groups.count, lanes, tile: tile, vectors: vectors, into: sums)
      if let adapter {
        for group in 0..<block.groups.count {
          backend.product.tile(
            depth, low + group * 8 * depth, adapter.projected[tile],
            sums + group * 8 * TokenTiles.width, vectors, 1)
        }
      }
      backend.unpack(
        sums, tokens: tiles.tokens(in: tile), rows: block.rows.count, bias: bias,
        into: term.output, token: tile * TokenTiles.width, row: block.rows.lowerBound,
        stride: term.output.shape[1])
    }
  }

  /// Cuts all terms into blocks of rows, and the tokens too where rows alone are too few.
  private func rowBlocks(tiles: Int) -> [RowBlock] {
    let threads = backend.threadPool.threads
    let weights = weights.map(\.weight)
    let rowItems = weights.reduce(0) { $0 + ($1.groups + 3) / 4 }
    let parts = max(1, min(tiles, threads * Int16Blocking.itemsPerThread / max(1, rowItems)))
    return weights.enumerated().flatMap { index, weight in
      let step = Int16Blocking.rows(
        outFeatures: weight.outFeatures, inFeatures: weight.inFeatures, threads: threads)
      return stride(from: 0, to: weight.outFeatures, by: step).flatMap { row in
        (0..<parts).map { part in
          RowBlock(
            term: index, rows: row..<min(row + step, weight.outFeatures),
            tiles: part * tiles / parts..<(part + 1) * tiles / parts)
        }
      }
    }
  }
}
