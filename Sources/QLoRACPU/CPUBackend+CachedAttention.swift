// Attention of new rows to a cache of keys and values, for generation. No gradient.
import CQLoRAKernels
import QLoRATensor

// SAFETY: tasks write disjoint heads and rows of the output, and the tensors outlive the call.
extension CPUBackend {
  /// Up to so many query rows go one by one; more fill enough of a tile of 48 to pay for packing.
  static let rowwiseQueries = 8

  package func cachedAttention(
    query: Tensor, keys: Tensor, values: Tensor, keyCount: Int, layout: AttentionLayout,
    into output: Tensor
  ) {
    var attended = AttentionRows(
      query: query, key: keys, value: values, output: output, layout: layout)
    attended.forgetWindow(ifLongest: keyCount)
    let rows = attended
    let queries = query.shape[0]
    precondition(queries <= keyCount && keyCount <= keys.shape[0])
    let group = rows.group
    let kernel = self.rows
    if queries <= Self.rowwiseQueries {
      let floats = qlora_attention_row_scratch(keyCount, group)
      let scratch = WorkerScratch(self, floats: floats)
      threadPool.run(queries * layout.kvHeads) { item, worker in
        let (row, kvHead) = (item / layout.kvHeads, item % layout.kvHeads)
        // The one query's window is the range of its keys.
        let end = keyCount - queries + row + 1
        let window = rows.layout.window
        var task = rows.task(
          heads: kvHead * group..<(kvHead + 1) * group, queries: row..<row + 1,
          keys: (window > 0 ? max(0, end - window) : 0)..<end, logSumExp: nil, scratch: scratch.part(worker))
        kernel.attention_row(&task)
      }
    } else {
      let floats = qlora_attention_scratch(keyCount, layout.headSize)
      let scratch = WorkerScratch(self, floats: floats)
      threadPool.run(layout.heads) { head, worker in
        var task = rows.task(
          heads: head..<head + 1, queries: 0..<queries, keys: 0..<keyCount, logSumExp: nil,
          scratch: scratch.part(worker))
        kernel.attention(&task)
      }
    }
  }
}
