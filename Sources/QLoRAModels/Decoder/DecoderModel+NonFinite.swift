// Where values first become infinite or undefined: for the report of a run that diverged.

import QLoRATensor

extension DecoderModel {
  package func firstNonFinite(_ batch: TokenBatch, dropoutStream: UInt64) -> String? {
    var found: String?
    let tape = Tape(backend: backend, isRecording: false)
    let dropout = DropoutContext(seed: dropoutSeed, stream: dropoutStream)
    let hidden = hiddenStates(
      batch.tokens, types: batch.types, positions: batch.positions,
      attention: .packed(bounds: batch.bounds), dropout: dropout, on: tape
    ) { module, values in
      if found == nil, !values.floats().allSatisfy(\.isFinite) { found = module }
    }
    if found != nil { return found }
    if let classifier {
      let sum = classLoss(hidden, batch, classifier, dropout: dropout, on: tape)
      return sum.isFinite ? nil : classifier.names.module
    }
    return tokenLoss(hidden, batch, on: tape).isFinite ? nil : config.names.head
  }
}
