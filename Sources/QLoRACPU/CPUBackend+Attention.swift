// Attention over packed sequences, forward.
import CQLoRAKernels
import QLoRATensor

// SAFETY: tasks write disjoint heads and rows of the output, and the tensors outlive the call.
extension CPUBackend {
  package func attention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, bounds: [Int],
    into output: Tensor, logSumExp: Tensor
  ) {
    var rows = AttentionRows(query: query, key: key, value: value, output: output, layout: layout)
    precondition(key.shape[0] == query.shape[0])
    precondition(logSumExp.count == layout.heads * query.shape[0])
    precondition(logSumExp.shape[-1] == query.shape[0])
    let sequences = Self.sequences(bounds, tokens: query.shape[0])
    guard let longest = sequences.first?.count else { return }
    rows.forgetWindow(ifLongest: longest)
    let packed = rows
    // Heads that share keys also share their packing, unless that leaves threads without work.
    let shared = sequences.count * layout.kvHeads >= 4 * threadPool.threads
    let group = shared ? rows.group : 1
    let groups = layout.heads / group
    let kernel = self.rows
    let scratch = WorkerScratch(self, floats: qlora_attention_scratch(longest, layout.headSize))
    threadPool.run(sequences.count * groups) { item, worker in
      let (sequence, first) = (sequences[item / groups], item % groups * group)
      var task = packed.task(
        heads: first..<first + group, queries: sequence, keys: sequence, logSumExp: logSumExp,
        scratch: scratch.part(worker))
      kernel.attention(&task)
    }
  }
}
