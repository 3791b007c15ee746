// Attention in packed sequences, between sequences, and of new rows to a cache. bf16 goes to the
// matrix unit in tiles; few rows meet a cache in pieces; everything else, and scores with a bias,
// go to a block for each row.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  /// The largest head that a warp holds.
  static let largestHead = 256

  /// The tiles that serve these activations, if any do.
  func tiles(_ layout: AttentionLayout, _ tensors: [Tensor]) -> AttentionTiles? {
    guard tensors.allSatisfy({ $0.dtype == .bfloat16 }) else { return nil }
    return AttentionTiles(headSize: layout.headSize)
  }

  /// Blocks for `rows` rows, `tile` each.
  func blocks(_ rows: Int, _ tile: Int) -> Int { (rows + tile - 1) / tile }

  package func attention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, bounds: [Int],
    into output: Tensor, logSumExp: Tensor
  ) {
    let visible = VisibleRows(bounds, rows: query.shape[0], layout, integers)
    attend(query, key, value, layout, visible, into: output, logSumExp: logSumExp)
  }

  package func spanAttention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, spans: AttentionSpans,
    bias: DistanceBias?, into output: Tensor, logSumExp: Tensor
  ) {
    check(spans, query, key, layout, bias)
    let visible = VisibleRows(spans, keyRows: key.shape[0], layout, integers)
    attend(query, key, value, layout, visible, bias, into: output, logSumExp: logSumExp)
  }

  func check(
    _ spans: AttentionSpans, _ query: Tensor, _ key: Tensor, _ layout: AttentionLayout,
    _ bias: DistanceBias?
  ) {
    precondition(spans.queries.first == 0 && spans.queries.last == query.shape[0])
    precondition(spans.keys.first == 0 && spans.keys.last ?? 0 <= key.shape[0])
    precondition(spans.queries.count == spans.keys.count && layout.window == 0)
    precondition(layout.softCap == 0 && bias?.values.shape[0] ?? layout.heads == layout.heads)
  }

  /// Fewer new rows leave most of a tile empty.
  private static let leastTileRows = 16

  package func cachedAttention(
    query: Tensor, keys: Tensor, values: Tensor, keyCount: Int, layout: AttentionLayout,
    into output: Tensor
  ) {
    let queries = query.shape[0]
    precondition(queries <= keyCount && keyCount <= keys.shape[0])
    precondition(layout.headSize <= Self.largestHead, "a head of \(layout.headSize)")
    if queries < Self.leastTileRows {
      return attendByPieces(query, keys, values, layout, position: keyCount - 1, into: output)
    }
    let visible = VisibleRows(newRows: queries, behind: keyCount - queries, layout, integers)
    attend(query, keys, values, layout, visible, into: output, logSumExp: nil)
  }

  /// Keys of a piece at the least, which a block takes in one turn or two, and pieces at the most:
  /// of a long cache each is longer, so that no more is joined than was read.
  private static let (leastPiece, mostPieces) = (64, 64)

  /// The same until the cache moves to more room, however many keys it has.
  private static func pieceKeys(room: Int) -> Int {
    var keys = leastPiece
    while keys * mostPieces < room { keys *= 2 }
    return keys
  }

  /// Rows that meet a cache, the last of them at `position`, where a recorded step does not say so.
  private func attendByPieces(
    _ query: Tensor, _ keys: Tensor, _ values: Tensor, _ layout: AttentionLayout, position: Int,
    into output: Tensor
  ) {
    let rows = query.shape[0]
    let recorded = rows == 1 ? recordedPosition([Int32(position)]) : nil
    // A recorded step must reach all keys that there will be.
    let keyCount = recorded == nil ? position + 1 : keys.shape[0]
    let piece = Self.pieceKeys(room: keys.shape[0])
    let pieces = (keyCount + piece - 1) / piece
    let parts = allocate([rows * layout.heads * pieces, layout.headSize + 2], .float32)
    let shape = qlora_cuda_cached_shape(
      heads: Int32(layout.heads), kv_heads: Int32(layout.kvHeads),
      head_size: Int32(layout.headSize), rows: Int32(rows), position: Int32(position),
      window: Int32(layout.window), piece_keys: Int32(piece), scale: layout.scale,
      cap: layout.softCap, place: recorded ?? 0)
    kernels.launch(
      "qlora_attention_piece", grid: (pieces, layout.heads, rows), threads: 256,
      [
        read(query), query.dtype.element, read(keys), keys.dtype.element, read(values),
        values.dtype.element, write(parts), shape,
      ])
    kernels.launch(
      "qlora_attention_join", grid: (layout.heads, rows, 1), threads: 128,
      [read(parts), Int32(pieces), write(output), output.dtype.element, shape])
  }

  private func attend(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ layout: AttentionLayout,
    _ visible: VisibleRows, _ bias: DistanceBias? = nil, into output: Tensor,
    logSumExp: Tensor?
  ) {
    let (rows, size) = (query.shape[0], layout.headSize)
    precondition(size <= Self.largestHead, "a head of \(size)")
    precondition(query.shape[1] == layout.heads * size && output.count == query.count)
    precondition(key.shape[1] == layout.kvHeads * size && key.shape == value.shape)
    precondition(logSumExp?.count ?? layout.heads * rows == layout.heads * rows)
    if bias == nil, let tiles = tiles(layout, [query, key, value, output]) {
      kernels.launch(
        "qlora_attention_tile_\(size)",
        grid: (layout.heads, blocks(rows, tiles.forward.queries), 1), threads: 128,
        sharedBytes: tiles.forwardBytes,
        [
          read(query), read(key), read(value), write(output), logSumExp.map(write) ?? 0,
          tileShape(layout, rows, keys: key.shape[0], visible),
        ])
      return
    }
    kernels.launch(
      "qlora_attention_row", grid: (rows, layout.heads, 1), threads: 128,
      [
        read(query), query.dtype.element, read(key), key.dtype.element, read(value),
        value.dtype.element, write(output), output.dtype.element, logSumExp.map(write) ?? 0,
        rowShape(layout, rows, visible, bias),
      ])
  }

  // MARK: Shapes

  func tileShape(
    _ layout: AttentionLayout, _ rows: Int, keys: Int, _ visible: VisibleRows
  ) -> qlora_cuda_tile_shape {
    qlora_cuda_tile_shape(
      rows: Int32(rows), key_rows: Int32(keys), heads: Int32(layout.heads),
      kv_heads: Int32(layout.kvHeads), offset: Int32(visible.offset), scale: layout.scale,
      cap: layout.softCap, starts: visible.starts.map(read) ?? 0,
      stops: visible.stops.map(read) ?? 0, firsts: visible.firsts.map(read) ?? 0,
      ends: visible.ends.map(read) ?? 0)
  }

  func rowShape(
    _ layout: AttentionLayout, _ rows: Int, _ visible: VisibleRows, _ bias: DistanceBias?
  ) -> qlora_cuda_attention_shape {
    qlora_cuda_attention_shape(
      heads: Int32(layout.heads), kv_heads: Int32(layout.kvHeads),
      head_size: Int32(layout.headSize), rows: Int32(rows), offset: Int32(visible.offset),
      scale: layout.scale, cap: layout.softCap, reach: Int32(bias?.reach ?? 0),
      starts: visible.starts.map(read) ?? 0, stops: visible.stops.map(read) ?? 0,
      firsts: visible.firsts.map(read) ?? 0, ends: visible.ends.map(read) ?? 0,
      bias: bias.map { read($0.values) } ?? 0, stands: visible.stands.map(read) ?? 0)
  }
}
