// Gradients of attention over packed sequences.
import CQLoRAKernels
import QLoRATensor

// SAFETY: a task writes the rows of one sequence in the heads that share one key/value head, and
// no other task writes those; the tensors outlive the call.
extension CPUBackend {
  package func attentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, bounds: [Int], queryGradient: Tensor,
    keyGradient: Tensor, valueGradient: Tensor
  ) {
    var rows = AttentionRows(query: query, key: key, value: value, output: output, layout: layout)
    precondition(key.shape[0] == query.shape[0])
    precondition(logSumExp.count == layout.heads * query.shape[0])
    precondition(logSumExp.shape[-1] == query.shape[0])
    precondition(outputGradient.count == query.count && queryGradient.count == query.count)
    precondition(keyGradient.count == key.count && valueGradient.count == value.count)
    let sequences = Self.sequences(bounds, tokens: query.shape[0])
    guard let longest = sequences.first?.count else { return }
    rows.forgetWindow(ifLongest: longest)
    let packed = rows
    let (group, size) = (rows.group, layout.headSize)
    let kernel = self.rows
    let scratch = WorkerScratch(self, floats: qlora_attention_scratch(longest, size))
    threadPool.run(sequences.count * layout.kvHeads) { item, worker in
      let (sequence, kvHead) = (sequences[item / layout.kvHeads], item % layout.kvHeads)
      let forward = packed.task(
        heads: kvHead * group..<(kvHead + 1) * group, queries: sequence, keys: sequence,
        logSumExp: logSumExp, scratch: scratch.part(worker))
      let queryStart = (sequence.lowerBound * layout.heads + kvHead * group) * size
      let keyStart = (sequence.lowerBound * layout.kvHeads + kvHead) * size
      var task = qlora_attention_gradients(
        forward: forward, output_gradient: outputGradient.floatAddress(at: queryStart),
        query_gradient: queryGradient.floatAddress(at: queryStart),
        key_gradient: keyGradient.floatAddress(at: keyStart),
        value_gradient: valueGradient.floatAddress(at: keyStart))
      kernel.attention_backward(&task)
    }
  }
}
