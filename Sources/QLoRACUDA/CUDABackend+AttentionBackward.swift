// The gradients of attention: those of the queries and those of keys and values in passes of their
// own, so that every sum has one order.
import CQLoRACUDA
import QLoRATensor

extension CUDABackend {
  package func attentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, bounds: [Int], queryGradient: Tensor,
    keyGradient: Tensor, valueGradient: Tensor
  ) {
    let rows = query.shape[0]
    precondition(query.dtype == key.dtype && key.dtype == value.dtype)
    let visible = VisibleRows(bounds, rows: rows, window: layout.window, integers)
    let delta = allocate([layout.heads, rows], .float32)
    launchWarps(
      "qlora_attention_delta", rows * layout.heads,
      [
        read(outputGradient), read(output), output.dtype.element, write(delta), rows,
        Int32(layout.heads), Int32(layout.headSize),
      ])
    if usesTiles(layout, [query, key, value]) {
      let inputs = qlora_cuda_tile_inputs(
        gradient: read(outputGradient), query: read(query), key: read(key), value: read(value),
        log_sum_exp: read(logSumExp), delta: read(delta))
      let shape = tileShape(layout, rows, visible.starts, visible.ends)
      launchTiles("queries", layout, rows, layout.heads, [inputs, write(queryGradient), shape])
      launchTiles(
        "keys", layout, rows, layout.kvHeads,
        [inputs, write(keyGradient), write(valueGradient), shape])
      return
    }
    let inputs = qlora_cuda_attention_inputs(
      gradient: read(outputGradient), query: read(query), keys: read(key), values: read(value),
      log_sum_exp: read(logSumExp), delta: read(delta), type: query.dtype.element)
    let shape = rowShape(layout, visible.starts, visible.ends, offset: 0)
    kernels.launch(
      "qlora_attention_row_queries", grid: (rows, layout.heads, 1), threads: 128,
      [inputs, write(queryGradient), shape])
    kernels.launch(
      "qlora_attention_row_keys", grid: (rows, layout.kvHeads, 1), threads: 128,
      [inputs, write(keyGradient), write(valueGradient), shape])
  }

  /// Enqueues a pass over tiles of rows. Heads of 256 are too wide for a thread's registers: two
  /// blocks have half of the columns each.
  private func launchTiles(
    _ pass: String, _ layout: AttentionLayout, _ rows: Int, _ heads: Int,
    _ arguments: [any KernelArgument]
  ) {
    let size = layout.headSize
    // Two tiles of the rows of the pass, two of 32 rows of what it goes over.
    kernels.launch(
      "qlora_attention_tile_\(pass)_\(size)", grid: (tiles(rows), heads, size == 256 ? 2 : 1),
      threads: 128, sharedBytes: tileBytes(2 * Self.tileRows + 2 * 32, size), arguments)
  }
}
