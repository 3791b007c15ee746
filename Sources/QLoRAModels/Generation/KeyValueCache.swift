// Keys and values of the tokens seen so far, so that each new token costs one row of products.

import QLoRATensor

/// The cache of one sequence. It grows by doubling; `count` moves once per forward pass. It belongs
/// to a model whose weights and adapters stay as they are.
package final class KeyValueCache {
  /// Tokens whose keys and values are stored.
  package private(set) var count = 0
  private var keys: [Tensor?]
  private var values: [Tensor?]
  /// Of a text that was read before: for each block that looks at it.
  private var read: [Int: (keys: Tensor, values: Tensor)] = [:]
  private let backend: any Backend
  /// The step that appends a token, for devices that record one.
  var recorded: RecordedSteps

  init(blockCount: Int, backend: any Backend, recordsSteps: Bool) {
    recorded = RecordedSteps(isWanted: recordsSteps)
    keys = Array(repeating: nil, count: blockCount)
    values = keys
    self.backend = backend
  }

  /// Stores the new rows of one block and attends from them to everything stored.
  func attend(
    block: Int, query: Variable, key: Variable, value: Variable, _ layout: AttentionLayout,
    bias: DistanceBias? = nil, on tape: Tape
  ) -> Variable {
    let newTokens = key.value.shape[0]
    keys[block] = appended(key.value, to: keys[block])
    values[block] = appended(value.value, to: values[block])
    let attended = backend.allocate(query.value.shape, query.value.dtype)
    if let bias, let keys = keys[block], let values = values[block] {
      backend.spanAttention(
        query: query.value, key: keys.rows(0..<count + newTokens),
        value: values.rows(0..<count + newTokens), layout: layout,
        spans: AttentionSpans(
          queries: [0, newTokens], keys: [0, count + newTokens], offset: count),
        bias: bias, into: attended,
        logSumExp: backend.allocate([layout.heads, newTokens], .float32))
    } else if let keys = keys[block], let values = values[block] {
      backend.cachedAttention(
        query: query.value, keys: keys, values: values, keyCount: count + newTokens,
        layout: layout, into: attended)
    }
    return Variable(attended)
  }

  /// The most that it has room for when it has grown for so many tokens more, fed in pieces; nil
  /// where it need not grow.
  func grownCapacity(by tokens: Int) -> Int? {
    let needed = count + tokens
    if needed <= capacity { return nil }
    var grown = max(capacity, 1)
    while grown < needed { grown *= 2 }
    return grown
  }

  /// Tokens that have room before it grows again.
  var capacity: Int { keys.first.flatMap { $0?.shape[0] } ?? 0 }

  /// Keeps the keys and values that a block makes of a text that was read.
  func keepRead(block: Int, keys: Tensor, values: Tensor) { read[block] = (keys, values) }

  /// Attends to all of that text.
  func attendToRead(
    block: Int, query: Variable, _ layout: AttentionLayout, on tape: Tape
  ) -> Variable {
    let attended = backend.allocate(query.value.shape, query.value.dtype)
    let rows = query.value.shape[0]
    guard let read = read[block] else { preconditionFailure("nothing was read") }
    backend.spanAttention(
      query: query.value, key: read.keys, value: read.values, layout: layout,
      spans: AttentionSpans(queries: [0, rows], keys: [0, read.keys.shape[0]]), bias: nil,
      into: attended, logSumExp: backend.allocate([layout.heads, rows], .float32))
    return Variable(attended)
  }

  /// Moves on after all blocks have stored `tokens` new rows.
  func advance(by tokens: Int) { count += tokens }

  /// Whether the step of another token is one launch by now.
  package var hasRecordedStep: Bool { recorded.hasStep }

  /// Forgets everything after the first `tokens` tokens.
  package func truncate(to tokens: Int) { count = min(count, tokens) }

  private func appended(_ rows: Tensor, to existing: Tensor?) -> Tensor {
    let needed = count + rows.shape[0]
    let capacity = existing?.shape[0] ?? 0
    var target = existing
    if needed > capacity {
      let firstCapacity = 64
      let grown = backend.allocate(
        [max(needed, 2 * capacity, firstCapacity), rows.shape[1]], rows.dtype)
      if let existing, count > 0 {
        backend.convert(existing.rows(0..<count), into: grown.rows(0..<count))
      }
      target = grown
      recorded.forget()
    }
    let result = target ?? rows
    backend.store(rows, in: result, at: count)
    return result
  }
}

extension DecoderModel {
  /// - Parameter recordsSteps: whether a device that can may make one launch of a step.
  package func makeCache(recordsSteps: Bool = true) -> KeyValueCache {
    KeyValueCache(blockCount: blocks.count, backend: backend, recordsSteps: recordsSteps)
  }

  /// Tokens that a new cache could hold on the device as it is now, when it has doubled as often as
  /// it can; nil where the device does not say, or the cache is of another kind.
  package var cachedTokensWithRoom: Int? {
    guard !readsAndWrites, let room = backend.roomBytes else { return nil }
    let most = room / (config.keyValueWidth * activationDType.byteSize)
    var tokens = 1
    while tokens <= most / 2 { tokens *= 2 }
    return tokens
  }

  /// Whether the device has room for the keys and values of so many more tokens; true where it
  /// does not say.
  package func hasRoom(for tokens: Int, _ cache: KeyValueCache) -> Bool {
    guard let grown = cache.grownCapacity(by: tokens), let room = backend.roomBytes else {
      return true
    }
    return grown * config.keyValueWidth * activationDType.byteSize <= room
  }

  /// As `logitsTensor`, in the host's memory.
  package func nextLogits(after tokens: [Int32], _ cache: KeyValueCache) -> [Float] {
    logitsTensor(after: tokens, cache).floats()
  }

  /// Feeds `tokens` after those in the cache; logits `[1, vocabulary]` of the token that follows,
  /// which may lie where the next ones will.
  package func logitsTensor(after tokens: [Int32], _ cache: KeyValueCache) -> Tensor {
    let logits = tokens.count == 1 ? step(tokens[0], cache) : fed(tokens, cache)
    cache.advance(by: tokens.count)
    return logits
  }

  /// As above, but that the cache's count stays.
  func fed(_ tokens: [Int32], _ cache: KeyValueCache) -> Tensor {
    let tape = Tape(backend: backend, isRecording: false)
    let positions = tokens.indices.map { Int32(cache.count + $0) }
    let hidden = hiddenStates(
      tokens, positions: positions, attention: .cached(cache), dropout: nil, on: tape)
    return logits(hidden.value.rows(tokens.count - 1..<tokens.count))
  }

  /// The same, and the token that the model holds likeliest.
  package func likeliestToken(after tokens: [Int32], _ cache: KeyValueCache) -> Int32 {
    backend.likeliest(logitsTensor(after: tokens, cache))
  }
}
