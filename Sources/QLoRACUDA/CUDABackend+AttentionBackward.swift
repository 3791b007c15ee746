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
    let visible = VisibleRows(bounds, rows: query.shape[0], layout, integers)
    let inputs = AttentionValues(
      gradient: outputGradient, query: query, key: key, value: value, output: output,
      logSumExp: logSumExp)
    backpropagate(
      inputs, layout, visible, bias: nil, into: [queryGradient, keyGradient, valueGradient])
  }

  package func spanAttentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, spans: AttentionSpans, bias: DistanceBias?,
    queryGradient: Tensor, keyGradient: Tensor, valueGradient: Tensor
  ) {
    check(spans, query, key, layout, bias)
    let visible = VisibleRows(spans, keyRows: key.shape[0], layout, integers)
    let inputs = AttentionValues(
      gradient: outputGradient, query: query, key: key, value: value, output: output,
      logSumExp: logSumExp)
    backpropagate(
      inputs, layout, visible, bias: bias, into: [queryGradient, keyGradient, valueGradient])
  }

  /// What backward reads.
  private struct AttentionValues {
    let gradient: Tensor
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let output: Tensor
    let logSumExp: Tensor
  }

  /// - Parameter gradients: of queries, keys and values.
  private func backpropagate(
    _ values: AttentionValues, _ layout: AttentionLayout, _ visible: VisibleRows,
    bias: DistanceBias?, into gradients: [Tensor]
  ) {
    let (query, key, value) = (values.query, values.key, values.value)
    let (rows, keys) = (query.shape[0], key.shape[0])
    precondition(query.dtype == key.dtype && key.dtype == value.dtype)
    precondition(values.gradient.count == query.count && key.shape == value.shape)
    precondition(zip(gradients, [query, key, value]).allSatisfy { $0.count == $1.count })
    let delta = allocate([layout.heads, rows], .float32)
    launchWarps(
      "qlora_attention_delta", rows * layout.heads,
      [
        read(values.gradient), read(values.output), values.output.dtype.element, write(delta),
        rows, Int32(layout.heads), Int32(layout.headSize),
      ])
    if bias == nil, usesTiles(layout, [query, key, value]) {
      let inputs = qlora_cuda_tile_inputs(
        gradient: read(values.gradient), query: read(query), key: read(key), value: read(value),
        log_sum_exp: read(values.logSumExp), delta: read(delta))
      let shape = tileShape(layout, rows, keys: keys, visible)
      launchTiles("queries", layout, rows, layout.heads, [inputs, write(gradients[0]), shape])
      launchTiles(
        "keys", layout, keys, layout.kvHeads,
        [inputs, write(gradients[1]), write(gradients[2]), shape])
      return
    }
    let inputs = qlora_cuda_attention_inputs(
      gradient: read(values.gradient), query: read(query), keys: read(key), values: read(value),
      log_sum_exp: read(values.logSumExp), delta: read(delta), type: query.dtype.element)
    let shape = rowShape(layout, rows, visible, bias)
    kernels.launch(
      "qlora_attention_row_queries", grid: (rows, layout.heads, 1), threads: 128,
      [inputs, write(gradients[0]), shape])
    kernels.launch(
      "qlora_attention_row_keys", grid: (keys, layout.kvHeads, 1), threads: 128,
      [inputs, write(gradients[1]), write(gradients[2]), shape])
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
