// Steps of generation that a device does again without being asked for every operation.

/// What differs from one step to the next.
package struct StepPlace: Sendable, Hashable {
  /// The token that is fed.
  package var token: Int32
  /// How many tokens come before it.
  package var position: Int32

  package init(token: Int32, position: Int32) {
    self.token = token
    self.position = position
  }
}

/// A step as it was recorded, for the same model, adapter and memory of keys and values.
package protocol RecordedStep: AnyObject, Sendable {
  /// Enqueues the step for another token. The result is the same memory each time.
  func run(_ place: StepPlace) -> Tensor
}

package protocol StepRecorder: Backend {
  /// Computes a step, and records it where all that it enqueues can be done again.
  ///
  /// - Parameter body: asks for the operations; may be called twice.
  func record(
    _ place: StepPlace, _ body: () -> Tensor
  ) -> (result: Tensor, step: (any RecordedStep)?)
}
