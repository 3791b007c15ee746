// The tokens of a measured training step: random ones, or those of a file that others read, too.

import QLoRAData
import QLoRADiagnostics
import QLoRAJSON
import QLoRAModels
import QLoRARandom
import QLoRATensor
import QLoRATraining

/// A training step to time.
package struct StepWorkload: Sendable {
  /// Packed sequences of equal length, every token labelled.
  package var sequences: Int
  package var length: Int
  /// Lines of `qlora preview --json`, all of which make up the one step; nil takes random tokens.
  package var batchFile: String?
  package var rank: Int
  /// A PEFT adapter to start from; nil makes a fresh one of `rank` on all linears.
  package var adapter: String?
  package var activationMemory: ActivationBudget
  var optimizer = OptimizerOptions.adamW(AdamWOptions())
  package var warmup: Int
  package var steps: Int

  package init(
    sequences: Int, length: Int, batchFile: String? = nil, rank: Int, adapter: String? = nil,
    activationMemory: ActivationBudget, warmup: Int = 0, steps: Int
  ) {
    self.sequences = sequences
    self.length = length
    self.batchFile = batchFile
    self.rank = rank
    self.adapter = adapter
    self.activationMemory = activationMemory
    self.warmup = warmup
    self.steps = steps
  }

  package mutating func usesAdamW(isBlockwise: Bool, isPaged: Bool) {
    optimizer = .adamW(AdamWOptions(isBlockwise: isBlockwise, isPaged: isPaged))
  }

  var adapterOptions: AdapterOptions { AdapterOptions(rank: rank, alpha: 2 * Double(rank)) }

  /// The micro-batches of the step.
  /// - Throws: a diagnostic with the row of the file that is at fault.
  package func batches(vocabularySize: Int) throws -> [TokenBatch] {
    guard let batchFile else {
      return [.random(sequences: sequences, length: length, vocabularySize: vocabularySize)]
    }
    var microBatches: [(number: Int, sequences: [PackedSequence])] = []
    try RowReader(path: batchFile).forEachRow { row in
      let sequence = try PackedSequence(previewed: row, vocabularySize: vocabularySize)
      let number = row.value["microBatch"]?.intValue ?? 0
      if microBatches.last?.number != number { microBatches.append((number, [])) }
      microBatches[microBatches.count - 1].sequences.append(sequence)
    }
    let batches = microBatches.map { MicroBatch($0.sequences).tokenBatch }
    guard batches.contains(where: { !$0.rows.isEmpty }) else {
      throw Diagnostic(.noRows, "there is no labelled token", at: .file(batchFile))
    }
    return batches
  }
}

extension PackedSequence {
  /// The sequence that a line of `qlora preview --json` shows.
  fileprivate init(previewed row: DataRow, vocabularySize: Int) throws {
    func numbers(_ key: String, _ allowed: Range<Int>) throws -> [Int32] {
      let values = (row.value[key]?.arrayValue ?? []).compactMap(\.intValue)
      guard !values.isEmpty, values.count == row.value[key]?.arrayValue?.count,
        values.allSatisfy({ allowed.contains($0) || ($0 == -100 && key == "labels") })
      else {
        throw row.failure(.rowShape, "\"\(key)\" must be integers of \(allowed)")
      }
      return values.map(Int32.init)
    }
    let tokens = try numbers("tokens", 0..<vocabularySize)
    let labels = try numbers("labels", 0..<vocabularySize)
    let starts = try numbers("starts", 0..<tokens.count).map(Int.init)
    let bounds = starts + [tokens.count]
    guard labels.count == tokens.count, starts[0] == 0,
      zip(bounds, bounds.dropFirst()).allSatisfy(<)
    else { throw row.failure(.rowShape, "tokens, labels and starts don't fit together") }
    self.init(
      zip(bounds, bounds.dropFirst()).map { start, end in
        EncodedRow(tokens: Array(tokens[start..<end]), labels: Array(labels[start..<end]))
      })
  }
}

extension TokenBatch {
  /// The same random tokens every time, packed, every one labelled.
  static func random(sequences: Int, length: Int, vocabularySize: Int) -> TokenBatch {
    var random = SplitMix64(seed: 0)
    let tokens = (0..<sequences * length).map { _ in
      Int32(random.next() % UInt64(vocabularySize))
    }
    // The last token of a sequence has no next one.
    let rows = tokens.indices.filter { $0 % length != length - 1 }
    return TokenBatch(
      tokens: tokens, positions: tokens.indices.map { Int32($0 % length) },
      bounds: (0...sequences).map { $0 * length }, rows: rows.map { Int32($0) },
      targets: rows.map { tokens[$0 + 1] })
  }
}
