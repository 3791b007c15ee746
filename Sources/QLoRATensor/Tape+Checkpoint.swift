// Recomputation: run a part of the model without keeping its intermediate values, and run it again
// in backward when something first asks for them.

extension Tape {
  /// Runs `body` without keeping its intermediate values and runs it again during backward.
  ///
  /// What reads an output after `body` gets the value of the second run. So whatever follows the
  /// last value that a gradient needs belongs behind the checkpoint, not into it: a linear at the
  /// end of `body` would be multiplied twice though nobody reads its output again.
  /// Source: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174.
  package func checkpoint(
    _ inputs: [Variable], _ body: @escaping (Tape, [Variable]) -> [Variable]
  ) -> [Variable] {
    guard isRecording else { return body(self, inputs) }
    let silent = Tape(backend: backend, isRecording: false, isInference: false)
    let second = SecondRun(inputs, on: backend, body)
    let results = body(silent, inputs.map { Variable($0.value) }).enumerated().map { index, first in
      output(first.value, of: inputs, hasParameters: true) { second.value(index) }
    }
    guard let last = results.last else { return [] }
    let (inputPlaces, places) = (inputs.map(\.place), results.map(\.place))
    record(last) { [self] in
      guard places.contains(where: { $0.gradient != nil }) else { return }
      let run = second.take()
      for (place, inner) in zip(places, run.places) {
        if let gradient = takeGradient(at: place) { run.tape.accumulate(gradient, at: inner) }
      }
      // The sum so far moves in and out again: added to inside, it rounds as without checkpoint.
      for (outer, inner) in zip(inputPlaces, run.inputs) {
        inner.gradient = takeGradient(at: outer)
      }
      run.tape.runBackward()
      for (outer, inner) in zip(inputPlaces, run.inputs) {
        outer.gradient = run.tape.takeGradient(at: inner)
      }
    }
    return results
  }

  /// As above, for a body with one input.
  package func checkpoint(
    _ input: Variable, _ body: @escaping (Tape, Variable) -> [Variable]
  ) -> [Variable] {
    checkpoint([input]) { body($0, $1[0]) }
  }

  /// As above, for a body with one input and one output.
  package func checkpoint(
    _ input: Variable, _ body: @escaping (Tape, Variable) -> Variable
  ) -> Variable {
    checkpoint(input) { [body($0, $1)] }[0]
  }
}

/// The second run of a checkpoint's body, made when the first of its values is needed.
private final class SecondRun {
  /// What backward continues with.
  struct Outcome {
    let tape: Tape
    let inputs: [GradientPlace]
    let places: [GradientPlace]
    /// Each output once; whoever asks again gets it from `kept`.
    var values: [Tensor?]
    let kept: [() -> Tensor]
  }

  private let run: () -> Outcome
  private var outcome: Outcome?

  init(
    _ inputs: [Variable], on backend: any Backend,
    _ body: @escaping (Tape, [Variable]) -> [Variable]
  ) {
    let values = inputs.map { (value: $0.value, isWanted: $0.needsGradient) }
    run = {
      let tape = Tape(backend: backend)
      let inputs = values.map { Variable($0.value, needsGradient: $0.isWanted) }
      let outputs = body(tape, inputs)
      return Outcome(
        tape: tape, inputs: inputs.map(\.place), places: outputs.map(\.place),
        values: outputs.map(\.value), kept: outputs.map(\.kept))
    }
  }

  /// The value of output `index`. It is not kept beyond its first use if it can be made again.
  func value(_ index: Int) -> Tensor {
    var current = outcome ?? run()
    let value = current.values[index] ?? current.kept[index]()
    current.values[index] = nil
    outcome = current
    return value
  }

  /// Hands over the run, which happens now if nobody needed a value of it.
  func take() -> Outcome {
    defer { outcome = nil }
    return outcome ?? run()
  }
}
