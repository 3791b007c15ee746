// Which sequences make up which step: a pure function of rows, settings and seed, so that a run
// resumed at any step sees exactly what an uninterrupted one would.
import QLoRADiagnostics
import QLoRARandom
import Synchronization

/// How long a run lasts.
package enum RunLength: Sendable, Equatable {
  /// Whole passes over the data; the run's last step may be smaller.
  case epochs(Int)
  /// As many epochs as it takes; every step is full.
  case steps(Int)
}

package struct BatchSettings: Sendable, Equatable {
  package var maxTokens: Int
  package var packing: Bool
  package var shuffle: Bool
  /// Sequences in a micro-batch.
  package var batchSize: Int
  /// Micro-batches in an optimizer step.
  package var accumulation: Int
  package var length: RunLength
  package var seed: UInt64
  /// How often an epoch sees the rows of each source; sources without a number count once.
  package var weights: [Double]

  package init(
    maxTokens: Int, packing: Bool = true, shuffle: Bool = true, batchSize: Int = 1,
    accumulation: Int = 1, length: RunLength = .epochs(1), seed: UInt64 = 0,
    weights: [Double] = []
  ) {
    self.maxTokens = maxTokens
    self.packing = packing
    self.shuffle = shuffle
    self.batchSize = batchSize
    self.accumulation = accumulation
    self.length = length
    self.seed = seed
    self.weights = weights
  }
}

/// The epochs' sequences form one stream, from which each step takes the next
/// `batchSize · accumulation`; a step may so span two epochs.
package final class BatchPlan: Sendable {
  package let rows: EncodedRows
  package let settings: BatchSettings
  /// Optimizer steps in the whole run.
  package let stepCount: Int

  /// The stream as far as it has been needed; a cache, which no result depends on.
  private struct Stream: Sendable {
    /// Sequences before each epoch seen so far, and before the next one.
    var starts = [0]
    var epoch = -1
    var sequences: [[Int]] = []
  }

  private let lengths: [Int]
  private let mixture: Mixture
  private let stream = Mutex(Stream())

  /// - Parameter rows: at least one, none longer than `settings.maxTokens`.
  package init(rows: EncodedRows, settings: BatchSettings) {
    precondition(!rows.isEmpty && settings.batchSize > 0 && settings.accumulation > 0)
    self.rows = rows
    self.settings = settings
    let lengths = rows.lengths
    self.lengths = lengths
    let mixture = Mixture(rows, weights: settings.weights, seed: settings.seed)
    self.mixture = mixture
    switch settings.length {
    case .steps(let count): stepCount = count
    case .epochs(let count):
      let perStep = settings.batchSize * settings.accumulation
      let sequences = stream.withLock { stream in
        Self.extend(&stream, throughEpoch: count - 1, lengths, mixture, settings)
        return stream.starts[count]
      }
      stepCount = (sequences + perStep - 1) / perStep
    }
  }

  /// The micro-batches of an optimizer step, counted from 1.
  ///
  /// - Throws: where rows that went to a file can't be read.
  package func microBatches(step: Int) throws(Diagnostic) -> [MicroBatch] {
    try sequences(step: step).map(MicroBatch.init)
  }

  /// The sequences of an optimizer step, micro-batch by micro-batch.
  package func sequences(step: Int) throws(Diagnostic) -> [[PackedSequence]] {
    try members(step: step).map { (sequences) throws(Diagnostic) in
      try sequences.map { (members) throws(Diagnostic) in
        PackedSequence(try members.map { (index) throws(Diagnostic) in try rows.row(index) })
      }
    }
  }

  /// Places in `rows` of what is in each sequence of each micro-batch of a step.
  package func members(step: Int) -> [[[Int]]] {
    precondition(1...max(1, stepCount) ~= step)
    let perStep = settings.batchSize * settings.accumulation
    var sequences: [[Int]] = []
    for place in (step - 1) * perStep..<step * perStep {
      guard let members = members(place) else { break }
      sequences.append(members)
    }
    return stride(from: 0, to: sequences.count, by: settings.batchSize).map { start in
      Array(sequences[start..<min(start + settings.batchSize, sequences.count)])
    }
  }

  /// The epoch, counted from 0 and with its done part, after which a step ends: for the log.
  package func epochProgress(afterStep step: Int) -> Double {
    let place = step * settings.batchSize * settings.accumulation
    return stream.withLock { stream in
      let epoch = epoch(of: max(0, place - 1), &stream)
      guard let epoch else { return Double(stream.starts.count - 1) }
      let start = stream.starts[epoch]
      return Double(epoch) + Double(place - start) / Double(stream.starts[epoch + 1] - start)
    }
  }

  /// The rows of the stream's sequence at `place`; nil past the run's last epoch.
  private func members(_ place: Int) -> [Int]? {
    stream.withLock { stream in
      guard let epoch = epoch(of: place, &stream) else { return nil }
      if stream.epoch != epoch {
        stream.sequences = Self.pack(epoch, lengths, mixture, settings)
        stream.epoch = epoch
      }
      return stream.sequences[place - stream.starts[epoch]]
    }
  }

  private func epoch(of place: Int, _ stream: inout Stream) -> Int? {
    while place >= stream.starts[stream.starts.count - 1] {
      let next = stream.starts.count - 1
      if case .epochs(let count) = settings.length, next >= count { return nil }
      Self.extend(&stream, throughEpoch: next, lengths, mixture, settings)
    }
    // Reading goes forward, so the epoch is nearly always among the last.
    return stream.starts.lastIndex { $0 <= place }
  }

  private static func extend(
    _ stream: inout Stream, throughEpoch last: Int, _ lengths: [Int], _ mixture: Mixture,
    _ settings: BatchSettings
  ) {
    while stream.starts.count - 1 <= last {
      let epoch = stream.starts.count - 1
      let start = stream.starts[epoch]
      // The same rows, without shuffling or without packing, make as many sequences each time.
      if epoch > 0, !mixture.changes, !(settings.packing && settings.shuffle) {
        stream.starts.append(start + stream.starts[1])
        continue
      }
      stream.sequences = pack(epoch, lengths, mixture, settings)
      stream.epoch = epoch
      stream.starts.append(start + stream.sequences.count)
    }
  }

  /// An epoch's sequences: rows in the order of f(seed, epoch), then packed.
  private static func pack(
    _ epoch: Int, _ lengths: [Int], _ mixture: Mixture, _ settings: BatchSettings
  ) -> [[Int]] {
    var order = mixture.rows(epoch: epoch)
    if settings.shuffle {
      var generator = SplitMix64(seed: settings.seed, stream: UInt64(epoch))
      generator.shuffle(&order)
    }
    guard settings.packing else { return order.map { [$0] } }
    return Packer.pack(order, lengths: lengths, maxTokens: settings.maxTokens)
  }
}
