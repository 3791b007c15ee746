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
    let tiles = bias == nil ? self.tiles(layout, [query, key, value]) : nil
    let rounded = tiles == nil ? nil : allocate(query.shape, .bfloat16)
    launchWarps(
      "qlora_attention_delta", rows * layout.heads,
      [
        read(values.gradient), read(values.output), values.output.dtype.element, write(delta),
        rounded.map(write) ?? 0, rows, Int32(layout.heads), Int32(layout.headSize),
      ])
    if let tiles, let rounded {
      let inputs = qlora_cuda_tile_inputs(
        gradient: read(rounded), query: read(query), key: read(key), value: read(value),
        log_sum_exp: read(values.logSumExp), delta: read(delta))
      return launch(
        tiles, inputs, layout, tileShape(layout, rows, keys: keys, visible), into: gradients)
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

  /// Enqueues both passes.
  private func launch(
    _ tiles: AttentionTiles, _ inputs: qlora_cuda_tile_inputs, _ layout: AttentionLayout,
    _ shape: qlora_cuda_tile_shape, into gradients: [Tensor]
  ) {
    let (size, parts) = (tiles.headSize, tiles.columnParts)
    kernels.launch(
      "qlora_attention_tile_queries_\(size)",
      grid: (layout.heads, blocks(Int(shape.rows), tiles.queryGradient.queries), parts),
      threads: 128, sharedBytes: tiles.queryGradientBytes, [inputs, write(gradients[0]), shape])
    let count = blocks(Int(shape.key_rows), AttentionTiles.keyRows)
    let groups = tiles.groups(sharedBytes: device.sharedBytes)
    kernels.launch(
      "qlora_attention_tile_keys_\(size)_\(groups)", grid: (layout.kvHeads, count, parts),
      threads: 128 * groups, sharedBytes: tiles.keyGradientBytes(groups: groups),
      [inputs, write(gradients[1]), write(gradients[2]), shape])
  }
}
