// The step of a token that follows another, recorded where the device can: it does then all over
// again what it was asked for, and the host only names the token.

import QLoRATensor

/// What a cache keeps of it. A record holds for the cache's memory and the model's rotary tables as
/// they were.
struct RecordedSteps {
  /// Recording takes longer than a step, so it has to be worth it.
  private static let patience = 4

  private var step: (any RecordedStep)?
  private var rotary: RotaryTables?
  private var plainSteps = 0
  private let isWanted: Bool

  init(isWanted: Bool) { self.isWanted = isWanted }

  var hasStep: Bool { step != nil }

  /// The cache's memory is another.
  mutating func forget() {
    (step, rotary) = (nil, nil)
    plainSteps = 0
  }

  /// The record, if there is one for these tables.
  mutating func step(_ tables: RotaryTables) -> (any RecordedStep)? {
    // Tables that change with every token, as those of some scalings do, are never worth a record.
    if rotary?.isSame(as: tables) != true {
      forget()
      rotary = tables
    }
    return step
  }

  /// Whether the next step should be recorded. Counts it.
  mutating func isDue() -> Bool {
    plainSteps += 1
    return isWanted && plainSteps > Self.patience
  }

  mutating func keep(_ step: (any RecordedStep)?) { self.step = step }
}

extension RotaryTables {
  fileprivate func isSame(as other: RotaryTables) -> Bool {
    all.cosines.storage === other.all.cosines.storage
      && windowed.cosines.storage === other.windowed.cosines.storage
  }
}

extension DecoderModel {
  /// Logits of the token that follows `token`, which joins the cache.
  func step(_ token: Int32, _ cache: KeyValueCache) -> Tensor {
    guard hasRecordableSteps, let recorder = backend as? any StepRecorder,
      cache.count < cache.capacity
    else { return fed([token], cache) }
    precondition(token >= 0 && Int(token) < config.vocabularySize)
    let place = StepPlace(token: token, position: Int32(cache.count))
    if let step = cache.recorded.step(rotaryTables(covering: [place.position])) {
      return step.run(place)
    }
    guard cache.recorded.isDue() else { return fed([token], cache) }
    let (logits, step) = recorder.record(place) { fed([token], cache) }
    cache.recorded.keep(step)
    hasRecordableSteps = step != nil
    return logits
  }
}
