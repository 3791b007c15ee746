// Attention to a cache equals the last rows of attention over the whole sequence.
import QLoRACPU
import QLoRATensor
import TestSupport
import Testing

struct CachedAttentionTests {
  @Test(
    arguments: CPUBackend.instructionSets,
    [
      (1, 1), (1, 7), (1, 48), (1, 200), (3, 3), (8, 50), (9, 9), (9, 60), (47, 97), (50, 130),
    ])
  func equalsTheLastRows(_ instructionSet: String, _ rows: (queries: Int, keys: Int)) throws {
    let backend = try backend(instructionSet)
    for dtype in [DType.float32, .bfloat16] {
      for (heads, kvHeads, size) in [(9, 3, 64), (5, 1, 24), (2, 2, 16), (4, 2, 128)] {
        let data = AttentionData(
          AttentionCase(
            lengths: [rows.keys], heads: heads, kvHeads: kvHeads, headSize: size, dtype: dtype))
        let output = GuardedTensor([rows.queries, heads * size])
        // The cache is longer than what counts, and what lies beyond is poison.
        let room = rows.keys + 5
        let poison = [Float](repeating: .nan, count: 5 * kvHeads * size)
        let shape: Shape = [room, kvHeads * size]
        backend.cachedAttention(
          query: data.query.rows(rows.keys - rows.queries..<rows.keys),
          keys: Tensor(data.key.floats() + poison, shape, dtype),
          values: Tensor(data.value.floats() + poison, shape, dtype), keyCount: rows.keys,
          layout: data.problem.layout, into: output.tensor)
        let expected = data.oracle.forward().output.suffix(output.tensor.count)
        #expect(relativeError(output.tensor.floats(), Array(expected)) < 4e-6)
        #expect(output.isIntact)
      }
    }
  }

  @Test(
    arguments: CPUBackend.instructionSets,
    [(1, 60), (3, 60), (8, 60), (9, 60), (50, 130)])
  func windowsAndCapsToo(_ instructionSet: String, _ rows: (queries: Int, keys: Int)) throws {
    let backend = try backend(instructionSet)
    for (window, cap) in [(5, Float(0)), (0, 1.5), (50, 1.5), (1, 0), (400, 0)] {
      let data = AttentionData(
        AttentionCase(
          lengths: [rows.keys], heads: 6, kvHeads: 2, headSize: 24, window: window, softCap: cap))
      let output = GuardedTensor([rows.queries, 6 * 24])
      backend.cachedAttention(
        query: data.query.rows(rows.keys - rows.queries..<rows.keys), keys: data.key,
        values: data.value, keyCount: rows.keys, layout: data.problem.layout, into: output.tensor)
      let expected = data.oracle.forward().output.suffix(output.tensor.count)
      #expect(relativeError(output.tensor.floats(), Array(expected)) < 4e-6)
      #expect(output.isIntact)
    }
  }

  @Test(arguments: CPUBackend.instructionSets)
  func threadsDoNotChangeABit(_ instructionSet: String) throws {
    let data = AttentionData(AttentionCase(lengths: [130], heads: 9, kvHeads: 3, headSize: 64))
    func bytes(_ queries: Int, threads: Int) throws -> [UInt8] {
      let output = Tensor(uninitialized: [queries, 9 * 64], .bfloat16)
      try backend(instructionSet, threads: threads).cachedAttention(
        query: data.query.rows(130 - queries..<130), keys: data.key, values: data.value,
        keyCount: 130, layout: data.problem.layout, into: output)
      return output.bytes
    }
    for queries in [1, 5, 60] {
      let one = try bytes(queries, threads: 1)
      for threads in [2, 4] {
        let more = try bytes(queries, threads: threads)
        #expect(more == one)
      }
    }
  }
}
