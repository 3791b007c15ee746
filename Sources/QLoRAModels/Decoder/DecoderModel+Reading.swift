// Models that read one text and write another: a row of a batch has both, told apart by types.

import QLoRATensor

/// The halves of a batch's rows: what is read, of type 0, and what is written, of type 1.
struct ReadAndWritten {
  private(set) var read: (tokens: [Int32], bounds: [Int]) = ([], [0])
  private(set) var written: (tokens: [Int32], bounds: [Int]) = ([], [0])
  /// Of each token of the batch, its place in its half.
  private(set) var places: [Int32] = []

  init(_ tokens: [Int32], types: [Int32], bounds: [Int]) {
    for (start, end) in zip(bounds, bounds.dropFirst()) {
      for token in start..<end {
        if types.isEmpty || types[token] == 0 {
          places.append(Int32(read.tokens.count))
          read.tokens.append(tokens[token])
        } else {
          places.append(Int32(written.tokens.count))
          written.tokens.append(tokens[token])
        }
      }
      read.bounds.append(read.tokens.count)
      written.bounds.append(written.tokens.count)
    }
  }

  static func positions(_ bounds: [Int]) -> [Int32] {
    zip(bounds, bounds.dropFirst()).flatMap { (0..<Int32($1 - $0)) }
  }
}

extension DecoderModel {
  /// Whether one stack of blocks reads and another writes.
  package var readsAndWrites: Bool { config.form.reader != nil }

  /// The rows of a batch as the states of what is written have them.
  func writtenRows(_ batch: TokenBatch) -> [Int32] {
    guard readsAndWrites else { return batch.rows }
    let places = ReadAndWritten(batch.tokens, types: batch.types, bounds: batch.bounds).places
    return batch.rows.map { places[Int($0)] }
  }

  /// Final states `[tokens written, hidden]`, normalised.
  func writtenStates(
    _ halves: ReadAndWritten, dropout: DropoutContext?, on tape: Tape,
    observe: (_ module: String, Tensor) -> Void
  ) -> Variable {
    let read = states(
      halves.read.tokens, ReadAndWritten.positions(halves.read.bounds),
      .packed(bounds: halves.read.bounds), nil, dropout, tape, observe)
    return states(
      halves.written.tokens, ReadAndWritten.positions(halves.written.bounds),
      .packed(bounds: halves.written.bounds), .states(read, bounds: halves.read.bounds), dropout,
      tape, observe)
  }

  /// Through the stack that reads, or, with something to look at, the one that writes.
  func states(
    _ tokens: [Int32], _ positions: [Int32], _ attention: AttentionContext, _ memory: ReadMemory?,
    _ dropout: DropoutContext?, _ tape: Tape,
    _ observe: (_ module: String, Tensor) -> Void = { _, _ in }
  ) -> Variable {
    let context = ForwardContext(
      positions: positions, attention: attention, memory: memory,
      rotary: rotaryTables(covering: positions), activationDType: activationDType,
      dropout: dropout)
    let embedded = embed(tokens, [], positions, on: tape)
    observe(config.names.embedding, embedded.value)
    var hidden = noisy(embedded, attention, dropout, tape)
    let first = config.form.reader?.layers ?? 0
    for index in memory == nil ? 0..<first : first..<blocks.count {
      hidden = blocks[index].forward(
        hidden, context, settingAside: activationPolicies[index], on: tape)
      observe(config.stack(ofBlock: index).block, hidden.value)
    }
    guard let norm = memory == nil ? readerNorm : finalNorm else { return hidden }
    let normalised = tape.normalize(hidden, norm)
    observe(norm.module, normalised.value)
    return normalised
  }

  /// Begins an answer: what a model reads before it writes goes into the cache, which is empty.
  ///
  /// - Returns: the tokens to feed for the first answered one: the prompt, or what every answer
  ///   begins behind where the prompt is read by blocks of its own.
  package func open(_ prompt: [Int32], _ cache: KeyValueCache) -> [Int32] {
    guard let form = config.form.reader else { return prompt }
    let start = Int32(form.startToken)
    let isBegun = prompt.count > 1 && prompt.last == start
    let tokens = isBegun ? Array(prompt.dropLast()) : prompt
    let tape = Tape(backend: backend, isRecording: false)
    let bounds = [0, tokens.count]
    let read = states(
      tokens, ReadAndWritten.positions(bounds), .packed(bounds: bounds), nil, nil, tape)
    let context = ForwardContext(
      positions: [], attention: .packed(bounds: bounds), rotary: rotaryTables(covering: []),
      activationDType: activationDType, dropout: nil)
    for block in blocks {
      guard let block = block as? WritingBlock else { continue }
      let parts = block.cross.keysAndValues(read, context, on: tape)
      cache.keepRead(block: block.index, keys: parts[0].value, values: parts[1].value)
    }
    return [start]
  }
}
