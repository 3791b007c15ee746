// Causal attention in packed sequences, and that of new rows to a cache. bf16 goes to the matrix
// unit in tiles; everything else to a block for each row; few rows meet a cache in pieces.
import CQLoRACUDA
import QLoRATensor

/// The first key that each row sees, and the end of the rows that see its key: its sequence, or
/// what a window leaves of it. Neither falls from a row to the next, as tiles rely on.
struct VisibleRows {
  let starts: Tensor
  let ends: Tensor

  init(_ bounds: [Int], rows: Int, window: Int, _ integers: DeviceIntegers) {
    var starts = [Int32](repeating: 0, count: rows)
    var ends = [Int32](repeating: Int32(rows), count: rows)
    for (start, end) in zip(bounds, bounds.dropFirst()) {
      for row in start..<end {
        starts[row] = Int32(window > 0 ? max(start, row + 1 - window) : start)
        ends[row] = Int32(window > 0 ? min(end, row + window) : end)
      }
    }
    self.starts = integers.tensor(starts)
    self.ends = integers.tensor(ends)
  }
}

extension CUDABackend {
  /// Rows of a tile, of queries or of keys.
  static let tileRows = 64
  /// Head sizes that the tiles know.
  private static let tileHeadSizes = [64, 96, 128, 256]
  /// The largest head that a warp holds.
  static let largestHead = 256

  /// Whether tiles serve these activations.
  func usesTiles(_ layout: AttentionLayout, _ tensors: [Tensor]) -> Bool {
    Self.tileHeadSizes.contains(layout.headSize) && tensors.allSatisfy { $0.dtype == .bfloat16 }
  }

  package func attention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, bounds: [Int],
    into output: Tensor, logSumExp: Tensor
  ) {
    let rows = query.shape[0]
    precondition(layout.headSize <= Self.largestHead, "a head of \(layout.headSize)")
    let visible = VisibleRows(bounds, rows: rows, window: layout.window, integers)
    guard usesTiles(layout, [query, key, value, output]) else {
      return attendByRows(
        query, key, value, rowShape(layout, visible.starts, visible.ends, offset: 0),
        into: output, logSumExp: logSumExp)
    }
    attendByTiles(
      query, key, value, layout, tileShape(layout, rows, visible.starts, visible.ends),
      into: output, logSumExp: logSumExp)
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
    let (offset, window) = (keyCount - queries, layout.window)
    let starts =
      window > 0 && window < keyCount
      ? integers.tensor((0..<queries).map { Int32(max(0, $0 + offset + 1 - window)) }) : nil
    guard usesTiles(layout, [query, keys, values, output]) else {
      return attendByRows(
        query, keys, values, rowShape(layout, starts, nil, offset: offset), into: output,
        logSumExp: nil)
    }
    attendByTiles(
      query, keys, values, layout, tileShape(layout, queries, starts, nil, offset: offset),
      into: output, logSumExp: nil)
  }

  /// Keys of a piece, as the kernels cut them.
  private static let pieceKeys = 128

  /// Rows that meet a cache, the last of them at `position`, where a recorded step does not say so.
  private func attendByPieces(
    _ query: Tensor, _ keys: Tensor, _ values: Tensor, _ layout: AttentionLayout, position: Int,
    into output: Tensor
  ) {
    let rows = query.shape[0]
    let recorded = rows == 1 ? recordedPosition([Int32(position)]) : nil
    // A recorded step must reach all keys that there will be.
    let keyCount = recorded == nil ? position + 1 : keys.shape[0]
    let pieces = (keyCount + Self.pieceKeys - 1) / Self.pieceKeys
    let parts = allocate([rows * layout.heads * pieces, layout.headSize + 2], .float32)
    let shape = qlora_cuda_cached_shape(
      heads: Int32(layout.heads), kv_heads: Int32(layout.kvHeads),
      head_size: Int32(layout.headSize), rows: Int32(rows), position: Int32(position),
      window: Int32(layout.window), scale: layout.scale, cap: layout.softCap,
      place: recorded ?? 0)
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

  private func attendByTiles(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ layout: AttentionLayout,
    _ shape: qlora_cuda_tile_shape, into output: Tensor, logSumExp: Tensor?
  ) {
    let size = layout.headSize
    // Queries, and two stages of keys and values.
    let keys = size == 256 ? 32 : 64
    kernels.launch(
      "qlora_attention_tile_\(size)", grid: (tiles(Int(shape.rows)), layout.heads, 1),
      threads: 128, sharedBytes: tileBytes(Self.tileRows + 4 * keys, size),
      [
        read(query), read(key), read(value), write(output), logSumExp.map(write) ?? 0, shape,
      ])
  }

  private func attendByRows(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ shape: qlora_cuda_attention_shape,
    into output: Tensor, logSumExp: Tensor?
  ) {
    kernels.launch(
      "qlora_attention_row", grid: (query.shape[0], Int(shape.heads), 1), threads: 128,
      [
        read(query), query.dtype.element, read(key), key.dtype.element, read(value),
        value.dtype.element, write(output), output.dtype.element, logSumExp.map(write) ?? 0,
        shape,
      ])
  }

  // MARK: Shapes

  func tiles(_ rows: Int) -> Int { (rows + Self.tileRows - 1) / Self.tileRows }

  /// Bytes of `rows` rows of a head in shared memory; the padding lets eight rows lie in different
  /// banks.
  func tileBytes(_ rows: Int, _ headSize: Int) -> Int { rows * (headSize + 8) * 2 }

  func tileShape(
    _ layout: AttentionLayout, _ rows: Int, _ starts: Tensor?, _ ends: Tensor?, offset: Int = 0
  ) -> qlora_cuda_tile_shape {
    qlora_cuda_tile_shape(
      rows: Int32(rows), heads: Int32(layout.heads), kv_heads: Int32(layout.kvHeads),
      offset: Int32(offset), scale: layout.scale, cap: layout.softCap,
      starts: starts.map(read) ?? 0, ends: ends.map(read) ?? 0)
  }

  func rowShape(
    _ layout: AttentionLayout, _ starts: Tensor?, _ ends: Tensor?, offset: Int
  ) -> qlora_cuda_attention_shape {
    qlora_cuda_attention_shape(
      heads: Int32(layout.heads), kv_heads: Int32(layout.kvHeads),
      head_size: Int32(layout.headSize), offset: Int32(offset), scale: layout.scale,
      cap: layout.softCap, starts: starts.map(read) ?? 0, ends: ends.map(read) ?? 0)
  }
}
