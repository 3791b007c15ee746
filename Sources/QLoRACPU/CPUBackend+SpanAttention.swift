// Attention between two sequences, or with a bias by distance: a row of scores at a time, for one
// head of one sequence in each task.
import CQLoRAKernels
import QLoRATensor

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One head of one sequence.
private struct SpanTask {
  let queries: Range<Int>
  let keys: Range<Int>
  let head: Int
  let keyHead: Int
  let layout: AttentionLayout
  let offset: Int
  let bias: DistanceBias?

  /// Keys that query `row` sees.
  func seen(_ row: Int) -> Int {
    guard layout.isCausal else { return keys.count }
    return max(0, min(keys.count, row - queries.lowerBound + offset + 1))
  }

  /// Of a key, counted from the first, for query `row`.
  func bias(_ row: Int, _ key: Int) -> Float {
    guard let bias else { return 0 }
    let distance = key - (row - queries.lowerBound + offset)
    let column = min(max(distance, -bias.reach), bias.reach) + bias.reach
    return bias.values[flat: head * (2 * bias.reach + 1) + column]
  }
}

// SAFETY: `tasks` checks every count, tasks write rows and columns of their own, scratch is each
// worker's, and the tensors outlive the call.
extension CPUBackend {
  package func spanAttention(
    query: Tensor, key: Tensor, value: Tensor, layout: AttentionLayout, spans: AttentionSpans,
    bias: DistanceBias?, into output: Tensor, logSumExp: Tensor
  ) {
    let tasks = tasks(query, key, value, layout, spans, bias, groups: layout.heads)
    precondition(output.shape == query.shape && logSumExp.count == layout.heads * query.shape[0])
    let (size, kernel) = (layout.headSize, rows)
    let scratch = WorkerScratch(self, floats: 2 * size + longest(spans.keys))
    let (width, keyWidth, count) = (query.shape[1], key.shape[1], query.shape[0])
    threadPool.run(tasks.count) { item, worker in
      let task = tasks[item]
      let memory = scratch.part(worker)
      let (q, sum, scores) = (memory, memory + size, memory + 2 * size)
      for row in task.queries {
        let place = row * width + task.head * size
        kernel.convert(size, query.address(at: place), query.dtype.element, q, qlora_element_f32)
        sum.update(repeating: 0, count: size)
        let logSum = self.scores(task, row, q, key, into: scores)
        for index in 0..<task.seen(row) {
          let from = (task.keys.lowerBound + index) * keyWidth + task.keyHead * size
          kernel.add_scaled(
            size, expf(scores[index] - logSum), value.address(at: from), value.dtype.element, sum)
        }
        kernel.convert(
          size, sum, qlora_element_f32, output.address(at: place), output.dtype.element)
        logSumExp[flat: task.head * count + row] = logSum
      }
    }
  }

  package func spanAttentionBackward(
    _ outputGradient: Tensor, query: Tensor, key: Tensor, value: Tensor, output: Tensor,
    logSumExp: Tensor, layout: AttentionLayout, spans: AttentionSpans, bias: DistanceBias?,
    queryGradient: Tensor, keyGradient: Tensor, valueGradient: Tensor
  ) {
    let tasks = tasks(query, key, value, layout, spans, bias, groups: layout.kvHeads)
    precondition(queryGradient.count == query.count && outputGradient.count == query.count)
    precondition(keyGradient.count == key.count && valueGradient.count == value.count)
    for tensor in [queryGradient, keyGradient, valueGradient] where hollowPool == nil {
      tensor.zero()
    }
    let shared = layout.heads / layout.kvHeads
    let scratch = WorkerScratch(self, floats: layout.headSize + longest(spans.keys))
    let gradients = SpanGradients(
      output: outputGradient, query: queryGradient, key: keyGradient, value: valueGradient)
    threadPool.run(tasks.count) { item, worker in
      // Heads that share keys in turn, since their gradients are summed.
      for head in tasks[item].keyHead * shared..<(tasks[item].keyHead + 1) * shared {
        let task = SpanTask(
          queries: tasks[item].queries, keys: tasks[item].keys, head: head,
          keyHead: tasks[item].keyHead, layout: layout, offset: spans.offset, bias: bias)
        for row in task.queries {
          self.addGradients(
            task, row, query, key, value, output, logSumExp, gradients, scratch.part(worker))
        }
      }
    }
  }

  private struct SpanGradients {
    let output: Tensor
    let query: Tensor
    let key: Tensor
    let value: Tensor
  }

  private func addGradients(
    _ task: SpanTask, _ row: Int, _ query: Tensor, _ key: Tensor, _ value: Tensor,
    _ output: Tensor, _ logSumExp: Tensor, _ gradients: SpanGradients,
    _ memory: UnsafeMutablePointer<Float>
  ) {
    let (size, kernel) = (task.layout.headSize, rows)
    let (q, scores) = (memory, memory + size)
    let place = row * query.shape[1] + task.head * size
    kernel.convert(size, query.address(at: place), query.dtype.element, q, qlora_element_f32)
    _ = self.scores(task, row, q, key, into: scores)
    let logSum = logSumExp[flat: task.head * query.shape[0] + row]
    let slope = gradients.output.floatAddress(at: place)
    let mean = kernel.dot(size, output.address(at: place), output.dtype.element, slope)
    let queryGradient = gradients.query.floatAddress(at: place)
    for index in 0..<task.seen(row) {
      let from = (task.keys.lowerBound + index) * key.shape[1] + task.keyHead * size
      let weight = expf(scores[index] - logSum)
      kernel.add_scaled(
        size, weight, slope, qlora_element_f32, gradients.value.floatAddress(at: from))
      let change = kernel.dot(size, value.address(at: from), value.dtype.element, slope)
      let score = weight * (change - mean) * task.layout.scale
      kernel.add_scaled(size, score, key.address(at: from), key.dtype.element, queryGradient)
      kernel.add_scaled(
        size, score, q, qlora_element_f32, gradients.key.floatAddress(at: from))
    }
  }

  /// Fills a row of scores. Returns the logarithm of the sum of their powers.
  private func scores(
    _ task: SpanTask, _ row: Int, _ q: UnsafeMutablePointer<Float>, _ key: Tensor,
    into scores: UnsafeMutablePointer<Float>
  ) -> Float {
    let (size, seen, kernel) = (task.layout.headSize, task.seen(row), rows)
    var top = -Float.infinity
    for index in 0..<seen {
      let from = (task.keys.lowerBound + index) * key.shape[1] + task.keyHead * size
      scores[index] =
        task.layout.scale * kernel.dot(size, key.address(at: from), key.dtype.element, q)
        + task.bias(row, index)
      top = max(top, scores[index])
    }
    guard seen > 0 else { return 0 }
    var sum: Float = 0
    for index in 0..<seen { sum += expf(scores[index] - top) }
    return top + logf(sum)
  }

  private func tasks(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ layout: AttentionLayout,
    _ spans: AttentionSpans, _ bias: DistanceBias?, groups: Int
  ) -> [SpanTask] {
    precondition(query.shape[1] == layout.heads * layout.headSize)
    precondition(key.shape[1] == layout.kvHeads * layout.headSize && key.shape == value.shape)
    precondition(spans.queries.first == 0 && spans.queries.last == query.shape[0])
    precondition(spans.keys.first == 0 && spans.keys.last ?? 0 <= key.shape[0])
    precondition(spans.queries.count == spans.keys.count && layout.window == 0)
    precondition(layout.softCap == 0 && bias?.values.shape[0] ?? layout.heads == layout.heads)
    return (0..<spans.queries.count - 1).flatMap { sequence in
      (0..<groups).map { group in
        SpanTask(
          queries: spans.queries[sequence]..<spans.queries[sequence + 1],
          keys: spans.keys[sequence]..<spans.keys[sequence + 1], head: group,
          keyHead: group * layout.kvHeads / groups, layout: layout, offset: spans.offset,
          bias: bias)
      }
    }
  }

  private func longest(_ bounds: [Int]) -> Int {
    zip(bounds, bounds.dropFirst()).map { $1 - $0 }.max() ?? 0
  }
}
